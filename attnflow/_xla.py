"""Options with which XLA compiles in about half of the time. Nothing here needs JAX, which they are told before."""

from importlib.metadata import version

# The emitters before the present ones, in one piece: compiled in .4 to .7 of the time, a layer has the same speed and
# the same bytes.
PROMPT: dict[str, bool | int] = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}


def is_known() -> bool:
    """Return whether this XLA knows these options: one that does not refuses the program, or ends the process."""
    return version("jaxlib").startswith("0.10.")
