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

from attnflow.attention import Attention as Attention
from attnflow.attention import bandwidth_from_inverse_temperature as bandwidth_from_inverse_temperature
from attnflow.comparison.distances import compare as compare
from attnflow.densities.base import Density as Density
from attnflow.densities.gaussian import Gaussian as Gaussian
from attnflow.densities.log_density import LogDensity as LogDensity
from attnflow.densities.uniform import Uniform as Uniform
from attnflow.densities.von_mises_fisher import VonMisesFisher as VonMisesFisher
from attnflow.distributed import join_processes as join_processes
from attnflow.equations.continuum import DriftDiffusion as DriftDiffusion
from attnflow.equations.expansions.laplace import LaplaceExpansion as LaplaceExpansion
from attnflow.errors import AttnflowError as AttnflowError
from attnflow.judge.claims import Claim as Claim
from attnflow.judge.levels import Level as Level
from attnflow.judge.rates import LimitFit as LimitFit
from attnflow.judge.rates import RateFit as RateFit
from attnflow.judge.rates import fit_limit as fit_limit
from attnflow.judge.rates import fit_rate as fit_rate
from attnflow.judge.verdicts import Verdict as Verdict
from attnflow.judge.verdicts import exit_code as exit_code
from attnflow.judge.verdicts import is_expected as is_expected
from attnflow.judge.verdicts import judge as judge
from attnflow.judge.verdicts import verdict_from_row as verdict_from_row
from attnflow.lab.study import Study as Study
from attnflow.lab.study import per_seed as per_seed
from attnflow.manifolds.base import Manifold as Manifold
from attnflow.manifolds.euclidean import EuclideanSpace as EuclideanSpace
from attnflow.manifolds.sphere import Circle as Circle
from attnflow.manifolds.sphere import Sphere as Sphere
from attnflow.manifolds.torus import FlatTorus as FlatTorus
from attnflow.measures import DiscreteMeasure as DiscreteMeasure
from attnflow.normalizations.alpha import AlphaNormalization as AlphaNormalization
from attnflow.normalizations.base import Normalization as Normalization
from attnflow.normalizations.key_weights import KeyWeights as KeyWeights
from attnflow.precision import enable_x64 as enable_x64
from attnflow.pseudometrics.base import CustomPseudoMetric as CustomPseudoMetric
from attnflow.pseudometrics.base import PseudoMetric as PseudoMetric
from attnflow.pseudometrics.plain import DotProduct as DotProduct
from attnflow.pseudometrics.plain import SquaredDistance as SquaredDistance
from attnflow.sums.empirical import EmpiricalAttention as EmpiricalAttention
from attnflow.sums.population import PopulationAttention as PopulationAttention
from attnflow.trajectories import Spectrum as Spectrum
from attnflow.trajectories import Trajectory as Trajectory
