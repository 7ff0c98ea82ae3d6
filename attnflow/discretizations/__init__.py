"""Bases in which differential operators on a manifold become matrices."""

from attnflow.discretizations.base import Basis
from attnflow.discretizations.fourier import FourierBasis
from attnflow.discretizations.harmonics import HarmonicBasis
from attnflow.discretizations.hermite import HermiteBasis

__all__ = ["Basis", "FourierBasis", "HarmonicBasis", "HermiteBasis"]
