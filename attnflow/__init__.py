"""attnflow: a laboratory for the continuum limits of attention.

One attention in three lives: N points, infinitely many points, and the differential equation that is left as the
bandwidth vanishes. All three answer `layer`, `generator` and `evolve`; their differences are an error budget.

Example:
    >>> import jax
    >>> import attnflow as af
    >>> af.enable_x64()
    >>> density = af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=0.7)
    >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
    >>> points = density.sample(2000, key=jax.random.key(0))
    >>> f = lambda x: x[1] + x[0] * x[1]
    >>> particles = af.EmpiricalAttention(attention, points).evolve(f, times=0.5)
    >>> population = af.PopulationAttention(attention, density).evolve(f, times=0.5, at=particles)
    >>> continuum = af.DriftDiffusion(attention, density).evolve(f, times=0.5, at=particles)
    >>> sampling_error, bias = af.compare(particles, population), af.compare(population, continuum)
    >>> bool(sampling_error[0] < 0.05), bool(bias[0] < 0.02)
    (True, True)
"""

import ast
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

_FACE = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
_HOMES = {line.names[0].name: line.module for line in _FACE if isinstance(line, ast.ImportFrom) and line.module}


class _Face(ModuleType):
    """The names of `__init__.pyi`, each imported when it is first asked for: `attnflow --help` needs no JAX."""

    def __getattr__(self, name: str) -> object:
        if name in _HOMES:
            value = getattr(import_module(_HOMES[name]), name)
            self.__dict__[name] = value
            return value
        if not name.startswith("__") and find_spec(f"attnflow.{name}"):
            return import_module(f"attnflow.{name}")
        raise AttributeError(f"module 'attnflow' has no attribute {name!r}", name=name, obj=self)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES or not isinstance(value, ModuleType):  # `attnflow.judge` is the function, not its room
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_HOMES})


sys.modules[__name__].__class__ = _Face
