"""The discretizations, and which of them solves for a density."""

from __future__ import annotations

from attnflow.densities.base import Density
from attnflow.densities.pulled_back import pull_back
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.kinds import named_basis
from attnflow.equations.solvers.base import Discretization
from attnflow.equations.solvers.finite_elements import FiniteElements
from attnflow.equations.solvers.pulled_back import PulledBack
from attnflow.equations.solvers.spectral import Spectral
from attnflow.errors import ConfigError
from attnflow.manifolds.embedded import EmbeddedManifold

AUTOMATIC: tuple[Discretization, ...] = (Spectral(), FiniteElements())  # the first that serves is taken


def choose_discretization(asked: str | type[Basis] | Discretization, *, density: Density) -> Discretization | None:
    """Return the discretization that is asked for; for "auto" the first that serves, None where none does.

    Raises:
        ConfigError: if there is no such discretization, or it does not serve the density.
    """
    if isinstance(density.manifold, EmbeddedManifold):
        on_reference = choose_discretization(asked, density=pull_back(density))
        return None if on_reference is None else PulledBack(on_reference)
    serving = [each for each in AUTOMATIC if each.serves(density)]
    if asked == "auto":
        return serving[0] if serving else None
    chosen = asked if isinstance(asked, Discretization) else Spectral(_named(asked))
    if not chosen.serves(density):
        remedy = "Pass 'auto'." if serving else "Use `generator`, which works on every manifold."
        raise ConfigError(
            f"`discretization` {chosen.domain}, not {type(density).__name__} on {density.manifold}. {remedy}"
        )
    return chosen


def _named(asked: object) -> type[Basis]:
    return named_basis(asked, name="discretization", others=("auto",))


def describe_kinds() -> str:
    """Return what serves where, in words."""
    return "; ".join(each.domain for each in AUTOMATIC)
