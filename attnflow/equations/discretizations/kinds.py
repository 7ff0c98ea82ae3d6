"""The kinds of basis, by name."""

from __future__ import annotations

from attnflow._checks import check_choice
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.discretizations.harmonics import HarmonicBasis
from attnflow.equations.discretizations.hermite import HermiteBasis
from attnflow.equations.discretizations.hyperspherical import HypersphericalBasis
from attnflow.equations.discretizations.legendre import LegendreBasis
from attnflow.equations.discretizations.product import ProductBasis

KINDS: tuple[type[Basis], ...] = (
    FourierBasis,
    HarmonicBasis,
    HypersphericalBasis,
    LegendreBasis,
    ProductBasis,
    HermiteBasis,
)


def named_basis(basis: object, *, name: str = "basis", others: tuple[str, ...] = ()) -> type[Basis]:
    """Return the kind of basis of that name, or the kind itself.

    Args:
        basis: what is asked for.
        name: of the argument.
        others: what may be asked for besides.

    Raises:
        ConfigError: if there is no such kind.
    """
    if isinstance(basis, type) and issubclass(basis, Basis):
        return basis
    named = {kind.name: kind for kind in KINDS}
    return named[check_choice(basis, name, (*others, *named))]
