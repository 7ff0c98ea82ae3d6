"""How programs are compiled that take longer to compile than to run."""

from __future__ import annotations

import functools
from importlib.metadata import version
from typing import Any

import jax

# The emitters before the present ones, in one piece: 0.4 to 0.6 of the time, and programs are as fast. Without LLVM's
# optimisation it is 0.15 to 0.25 of the time, and they are up to twice as slow: for what runs for milliseconds.
_PROMPT: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
_ROUGH = {**_PROMPT, "xla_backend_optimization_level": 0}
_IS_KNOWN = version("jaxlib").startswith("0.10.")  # a version of XLA that does not know an option refuses the program

compile_promptly = functools.partial(jax.jit, compiler_options=_PROMPT if _IS_KNOWN else None)
compile_roughly = functools.partial(jax.jit, compiler_options=_ROUGH if _IS_KNOWN else None)
