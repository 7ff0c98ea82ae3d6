"""The kinds of basis, and which of them a density is given."""

from __future__ import annotations

from attnflow._checks import check_choice
from attnflow.densities.base import Density
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.discretizations.harmonics import HarmonicBasis
from attnflow.equations.discretizations.hermite import HermiteBasis
from attnflow.errors import ConfigError

KINDS: tuple[type[Basis], ...] = (FourierBasis, HarmonicBasis, HermiteBasis)


def choose_basis(discretization: str | type[Basis], *, density: Density) -> type[Basis] | None:
    """Return the kind of basis that is asked for; for "auto" the first that serves the density, None where none does.

    Raises:
        ConfigError: if there is no such kind, or it does not serve the density.
    """
    serving = [kind for kind in KINDS if kind.serves(density)]
    if isinstance(discretization, type) and issubclass(discretization, Basis):
        kind = discretization
    else:
        named = {kind.name: kind for kind in KINDS}
        name = check_choice(discretization, "discretization", ("auto", *named))
        if name == "auto":
            return serving[0] if serving else None
        kind = named[name]
    if not kind.serves(density):
        remedy = (
            f"Pass {serving[0].name!r} or 'auto'." if serving else "Use `generator`, which works on every manifold."
        )
        raise ConfigError(
            f"`discretization` {kind.name!r} serves {kind.domain}, not {type(density).__name__} on {density.manifold}. "
            f"{remedy}"
        )
    return kind


def describe_kinds() -> str:
    """Return which kind serves where, in words."""
    return "; ".join(f"{kind.name!r} serves {kind.domain}" for kind in KINDS)
