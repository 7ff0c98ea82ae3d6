"""The errors attnflow raises. Each message says what, where, the value, the likely cause and one remedy."""


class AttnflowError(Exception):
    """Base class of every error that attnflow raises on purpose."""


class ConfigError(AttnflowError, ValueError):
    """An option, a parameter or a combination of them that cannot be run."""


class DataError(AttnflowError, ValueError):
    """Points, values or densities that do not fit what they are used for."""


class DegenerateKernelError(AttnflowError, ArithmeticError):
    """A row of the kernel without weight: 0/0."""


class PrecisionError(AttnflowError, ArithmeticError):
    """The floating-point type in force cannot deliver what is asked."""


class ConvergenceError(AttnflowError, ArithmeticError):
    """A discretisation or an iteration that does not reach its tolerance."""


class ResourceError(AttnflowError, ValueError):
    """A computation that needs more memory than there is."""


class ResultFileError(AttnflowError, OSError):
    """A record that cannot be read or written."""


class SchemaError(ResultFileError):
    """A record written by a newer attnflow."""


class WorkerError(AttnflowError, ArithmeticError):
    """A worker that died."""
