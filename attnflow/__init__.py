"""attnflow: a laboratory for the continuum limits of attention."""

from attnflow.attention import Attention as Attention
from attnflow.attention import bandwidth_from_inverse_temperature as bandwidth_from_inverse_temperature
from attnflow.densities import Gaussian as Gaussian
from attnflow.densities import LogDensity as LogDensity
from attnflow.densities import Uniform as Uniform
from attnflow.densities import VonMisesFisher as VonMisesFisher
from attnflow.errors import AttnflowError as AttnflowError
from attnflow.expansions import LaplaceExpansion as LaplaceExpansion
from attnflow.manifolds import Circle as Circle
from attnflow.manifolds import EuclideanSpace as EuclideanSpace
from attnflow.manifolds import FlatTorus as FlatTorus
from attnflow.manifolds import Sphere as Sphere
from attnflow.precision import enable_x64 as enable_x64
from attnflow.pseudometrics import CustomPseudoMetric as CustomPseudoMetric
from attnflow.pseudometrics import DotProduct as DotProduct
from attnflow.pseudometrics import SquaredDistance as SquaredDistance
