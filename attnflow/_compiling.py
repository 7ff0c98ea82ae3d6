"""How programs are compiled that take longer to compile than to run."""

from __future__ import annotations

import functools

import jax

from attnflow._xla import PROMPT, is_known

# Without LLVM's optimisation compiling takes 0.15 to 0.25 of the time, and programs are up to twice as slow: for what
# runs for milliseconds.
_ROUGH = {**PROMPT, "xla_backend_optimization_level": 0}

# With some of it compiling takes half of the time, and what spends its time in products of matrices is as fast.
LIGHT: dict[str, bool | int] | None = {**PROMPT, "xla_backend_optimization_level": 1} if is_known() else None

compile_promptly = functools.partial(jax.jit, compiler_options=PROMPT if is_known() else None)
compile_roughly = functools.partial(jax.jit, compiler_options=_ROUGH if is_known() else None)
