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

from attnflow._face import give_face, version_of

__version__ = version_of(__name__)
give_face(__name__, __file__)
