"""Which fractional Laplacian is the limit of attention whose weights fall like a power?

Student's weights h(s) = (1 + s/nu)^{-(nu + m)/2}, s = |x - y|^2 / eps, have no second moment for nu <= 2. For nu < 2
keys at every distance count: h ~ (nu eps)^{(nu + m)/2} |x - y|^{-nu - m} beyond eps^{1/2}, against a total of eps^{m/2}
mu_0 p, mu_0 = (pi nu)^{m/2} Gamma(nu/2) / Gamma((nu + m)/2). With the chordal distance of S^m |x - y|^{-m - nu} is the
kernel of the conformal fractional Laplacian, so that for the uniform density, on harmonics of degree k,

    (A - I) / eps^{nu/2} -> -c_nu Lambda_k,    Lambda_k = G(k) - G(0),
    G(k) = Gamma(k + (m + nu)/2) / Gamma(k + (m - nu)/2),    c_nu = nu^{nu/2} 2^{-nu} |Gamma(-nu/2)| / Gamma(nu/2),

and not the spectral power [k (k + m - 1)]^{nu/2}, the same for nu = 1 on the circle alone. The next terms are of the
orders eps^{nu/2}, from the total, the same for all k, and eps^{1 - nu/2}, from distances of eps^{1/2}. For any density

    (A f - f) / eps^{nu/2} -> -c_nu [Lambda(p f) - f Lambda p] / p,

a jump process that goes where keys are, reversible with respect to p^2 dvol. At nu = 2 there is a logarithm,

    (A - I) / eps = (1/2) log(1/eps) Lap + O(1),

so that from eps to eps/2 the quotient on degree k moves by k (k + m - 1)/2 log 2.

Of N points the variance of a layer is local where nu > 1 - m/2, so the noise of (A_N - A) f / eps^{nu/2} is of order

    N^{-1/2} eps^{1/2 - m/4 - nu/2},

and with the bias eps^b, b = min(nu/2, 1 - nu/2), the best schedule and its error are

    eps ~ N^{-2/(4b + 2nu + m - 2)},    N^{-2b/(4b + 2nu + m - 2)}:    N^{-2/3}, N^{-1/3} for nu = 1 on the circle,

a better rate than N^{-2/7}, that of the Laplacian from Gaussian weights [Si].

Measured at a pole of the circle and S^2, where keys enter through their distance alone, with a quadrature of these: the
ratio of 1 - kappa at the degrees 4 and 1, kappa the eigenvalues of A (heavy-tail-ratio), the order of 1 - kappa_1
(heavy-tail-order), and c_nu (heavy-tail-constant); at twelve queries of the circle, p ~ exp(.5 cos t + .3 sin 2t), f =
sin t + cos(t)/2, nu = 1, the distance of (A f - f)/eps^{1/2} from its limit (heavy-tail-density); and for nu = 2 by how
much the quotient moves, over log 2, at the degree one (heavy-tail-crossing). On the schedule N = (4/eps)^{3/2}, nu = 1,
the bias is that of the layer, the variance a quadrature that the study `heavy_noise` measures (heavy-tail-schedule).
The controls take the spectral power, the Gaussian weights, in
truth of order eps, c_nu without nu^{nu/2} 2^{-nu}, -c_nu Lambda f as if p were uniform, nu = 3, and Gaussian weights on
the schedule of nu = 1, of which the error in truth has the exponent zero.
"""

import functools
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.special import eval_legendre, gamma, gammaln

import attnflow as af
from attnflow.lab import plots

PLACES = {"circle": 1, "sphere": 2}
DEGREES = {"half": 0.5, "three_halves": 1.5}  # nu
DEGREE = 4
ANGLES = 2 * np.pi * (np.arange(12) + 0.3) / 12
LOG_TANGENTS = np.arange(-24, 24, 0.02)  # log tan(t/2): the rule converges exponentially whatever eps is


def lambda_of(k: int, m: int, nu: float) -> float:
    """Return Lambda_k."""
    at_k, at_zero = (np.exp(gammaln(j + (m + nu) / 2)) / gamma(j + (m - nu) / 2) for j in (k, 0))
    return float(at_k - at_zero)


def constant(nu: float) -> float:
    """Return c_nu."""
    return float(nu ** (nu / 2) * bare_constant(nu) / 2**nu)


def bare_constant(nu: float) -> float:
    """Return |Gamma(-nu/2)| / Gamma(nu/2)."""
    return float(abs(gamma(-nu / 2)) / gamma(nu / 2))


def attention(eps: float, m: int, nu: float) -> af.Attention:
    """Return Student's attention; the Gaussian one for nu = inf."""
    profile: Any = "gaussian" if np.isinf(nu) else af.StudentT(nu, dim=m)
    return af.Attention(af.SquaredDistance(), bandwidth=eps, profile=profile)


@functools.cache
def distances() -> tuple[np.ndarray, np.ndarray]:
    """Return angles t from 0 to pi with dt of the rule in log tan(t/2)."""
    t = 2 * np.arctan(np.exp(LOG_TANGENTS))
    return t, np.sin(t) * (LOG_TANGENTS[1] - LOG_TANGENTS[0])


def lost(eps: float, m: int, nu: float, degrees: tuple[int, ...] = (1,)) -> np.ndarray:
    """Return 1 - kappa at degrees, by one layer at the pole of S^m over the law of the distance of uniform keys."""
    t, dt = distances()
    keys = af.DiscreteMeasure(np.column_stack([np.cos(t), np.sin(t)]), np.sin(t) ** (m - 1) * dt)
    life = af.EmpiricalAttention(attention(eps, m, nu), keys, method="dense")
    values = [2 * np.sin(k * t / 2) ** 2 if m == 1 else one_less_legendre(k, t) for k in degrees]
    return np.asarray(life.layer(np.column_stack(values), at=[[1.0, 0.0]]))[0]


def one_less_legendre(k: int, t: np.ndarray) -> np.ndarray:
    """Return 1 - P_k(cos t), where t is small by its first term, k (k + 1) t^2 / 4."""
    return np.where(t < 1e-4, k * (k + 1) * t**2 / 4, 1 - eval_legendre(k, np.cos(t)))


def scatter(eps: float, nu: float) -> float:
    """Return lim N Var of the tangential part of A_N y on the circle, int h^2 sin^2 t / (int h)^2 with p = 1/2pi."""
    t, dt = distances()
    h = np.exp(attention(eps, 1, nu).profile.log_weight(4 * np.sin(t / 2) ** 2 / eps))
    return float(np.pi * np.sum(h**2 * np.sin(t) ** 2 * dt) / np.sum(h * dt) ** 2)


def density(t: np.ndarray) -> np.ndarray:
    """Return p up to a constant."""
    return np.exp(0.5 * np.cos(t) + 0.3 * np.sin(2 * t))


def test_function(t: np.ndarray) -> np.ndarray:
    """Return f."""
    return np.sin(t) + np.cos(t) / 2


def fractional(values: np.ndarray, nu: float) -> np.ndarray:
    """Return Lambda g at the queries, for values of g on an even grid."""
    coefficients = np.fft.fft(values) / len(values)
    waves = np.fft.fftfreq(len(values), 1 / len(values)).astype(int)
    kept = np.abs(waves) <= 40
    symbols = np.array([lambda_of(abs(int(k)), 1, nu) for k in waves[kept]])
    return np.real(np.exp(1j * np.outer(ANGLES, waves[kept])) @ (symbols * coefficients[kept]))


@functools.cache
def limits(nu: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the limit of (A f - f)/eps^{nu/2} at the queries, and what it were if p were uniform."""
    grid = 2 * np.pi * np.arange(256) / 256
    p, f = density(grid), test_function(grid)
    commutator = fractional(p * f, nu) - test_function(ANGLES) * fractional(p, nu)
    return -constant(nu) * commutator / density(ANGLES), -constant(nu) * fractional(f, nu)


def moved(eps: float, nu: float) -> np.ndarray:
    """Return A f - f at the queries, for keys of the density p."""
    t, dt = distances()
    found = []
    for x in ANGLES:
        y = x + np.concatenate([-t, t])
        keys = af.DiscreteMeasure(np.column_stack([np.cos(y), np.sin(y)]), density(y) * np.tile(dt, 2))
        life = af.EmpiricalAttention(attention(eps, 1, nu), keys, method="dense")
        # differences of sines and cosines as products, without cancellation
        middle, half = (y + x) / 2, np.concatenate([-t, t]) / 2
        change = 2 * np.sin(half) * (np.cos(middle) - np.sin(middle) / 2)
        found.append(float(life.layer(change, at=[[np.cos(x), np.sin(x)]])[0]))
    return np.array(found)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return what is predicted of eigenvalues and of one layer at a bandwidth."""
    eps = case["bandwidth"]
    row: dict[str, Any] = {}
    for place, m in PLACES.items():
        row[f"gaussian.{place}"] = lost(eps, m, np.inf)[0]
        for name, nu in DEGREES.items():
            first, last = lost(eps, m, nu, (1, DEGREE))
            spectral = ((DEGREE * (DEGREE + m - 1)) / m) ** (nu / 2)
            row[f"{name}.{place}.ratio"] = last / first / (lambda_of(DEGREE, m, nu) / lambda_of(1, m, nu))
            row[f"{name}.{place}.spectral"] = last / first / spectral
            row[f"{name}.{place}.lost"] = first
            scale = eps ** (nu / 2) * lambda_of(1, m, nu)
            row[f"{name}.{place}.constant"] = first / (scale * constant(nu))
            row[f"{name}.{place}.bare"] = first / (scale * bare_constant(nu))
        for name, nu in {"crossing": 2.0, "beyond": 3.0}.items():
            quotient = [lost(e, m, nu)[0] / e for e in (eps, eps / 2)]
            row[f"{name}.{place}"] = (quotient[1] - quotient[0]) / np.log(2)
    points = (4 / eps) ** 1.5
    for name, nu, scale, speed in (("schedule", 1.0, eps**0.5, 1.0), ("gaussian_schedule", np.inf, eps, 0.5)):
        bias = lost(eps, 1, nu)[0] / scale - speed
        row[name] = np.sqrt(bias**2 + scatter(eps, nu) / scale**2 / points)
    change = moved(eps, 1.0) / eps**0.5
    for name, limit in zip(("density", "uniform"), limits(1.0), strict=True):
        row[name] = np.sqrt(np.mean((change - limit) ** 2))
    row["degrees"] = lost(eps, 1, 0.5, tuple(range(1, 17)))
    return row


def symbols(records: list) -> Figure:
    """Draw (1 - kappa_k)/(1 - kappa_1) over the degree at the smallest bandwidth, with both powers."""
    case, arrays = min(((c, a) for c, a in records), key=lambda pair: pair[0]["bandwidth"])
    nu, found = 0.5, arrays["degrees"][0]
    k = np.arange(1, 17)
    drawn = plots.figure(width=4.6, height=3.4)
    ax = drawn.subplots()
    conformal = np.array([lambda_of(int(j), 1, nu) for j in k]) / lambda_of(1, 1, nu)
    ax.plot(
        k,
        found / found[0],
        "o",
        ms=4,
        color="C0",
        label=rf"$\varepsilon$ = {plots.number(case['bandwidth'], digits=2)}",
    )
    ax.plot(k, conformal, color="C0", lw=1, label=r"$\Lambda_k / \Lambda_1$")
    ax.plot(k, k**nu, color="C1", ls="--", lw=1, label=r"$k^\nu$")
    ax.set(xlabel="degree $k$", ylabel=r"$(1 - \kappa_k) / (1 - \kappa_1)$", title=rf"circle, $\nu = {nu:g}$")
    ax.legend(fontsize=8, frameon=False)
    return drawn


def claims_of(name: str, place: str) -> list[af.Claim]:
    """Return what is claimed of eigenvalues for one nu in one place, with controls."""
    nu, m = DEGREES[name], PLACES[place]
    common: dict[str, Any] = dict(
        source="derived", size="bandwidth", measures=("empirical",),
        hypotheses=rf"{place}, uniform density by quadrature, $\nu = {nu:g}$",
    )  # fmt: skip
    ratio = af.Claim(
        id=f"heavy-tail-ratio/{name}-{place}", kind="constant", quantity=f"{name}.{place}.ratio", predicted=1.0,
        margin=0.02, correction_power=1 - nu / 2,
        statement=r"$(1 - \kappa_4)/(1 - \kappa_1)$ over $\Lambda_4/\Lambda_1$ of the conformal Laplacian tends to 1",
        **common,
    )  # fmt: skip
    spectral = (DEGREE * (DEGREE + m - 1) / m) ** (nu / 2)
    order = af.Claim(
        id=f"heavy-tail-order/{name}-{place}", kind="exponent", quantity=f"{name}.{place}.lost", predicted=nu / 2,
        statement=r"$1 - \kappa_1$ is of order $\varepsilon^{\nu/2}$", correction_power=min(nu / 2, 1 - nu / 2),
        **common,
    )  # fmt: skip
    known = af.Claim(
        id=f"heavy-tail-constant/{name}-{place}", kind="constant", quantity=f"{name}.{place}.constant", predicted=1.0,
        statement=r"$(1 - \kappa_1)/\varepsilon^{\nu/2}$ over $c_\nu \Lambda_1$ tends to 1",
        correction_power=min(nu / 2, 1 - nu / 2), **common,
    )  # fmt: skip
    return [
        ratio,
        ratio.control(
            statement=r"$(1 - \kappa_4)/(1 - \kappa_1)$ over the ratio of $[k (k + m - 1)]^{\nu/2}$ tends to 1",
            quantity=f"{name}.{place}.spectral", truth=lambda_of(DEGREE, m, nu) / lambda_of(1, m, nu) / spectral,
        ),
        order,
        order.control(
            statement=r"$1 - \kappa_1$ of Gaussian weights is of that order",
            quantity=f"gaussian.{place}", truth=1.0,
        ),
        known,
        known.control(
            statement=r"$(1 - \kappa_1)/\varepsilon^{\nu/2}$ over $c_\nu \Lambda_1$ less its powers tends to 1",
            quantity=f"{name}.{place}.bare", truth=constant(nu) / bare_constant(nu),
        ),
    ]  # fmt: skip


def crossing(place: str) -> list[af.Claim]:
    """Return what is claimed of the logarithm in one place, with its control."""
    m = PLACES[place]
    claim = af.Claim(
        id=f"heavy-tail-crossing/{place}", source="derived", kind="constant", quantity=f"crossing.{place}",
        size="bandwidth", predicted=m / 2, measures=("empirical",),
        statement=r"from $\varepsilon$ to $\varepsilon/2$, $(1 - \kappa_1)/\varepsilon$ moves by $(m/2) \log 2$",
        hypotheses=rf"{place}, uniform density by quadrature, $\nu = 2$",
    )  # fmt: skip
    return [
        claim,
        claim.control(
            statement=r"from $\varepsilon$ to $\varepsilon/2$ it does so for $\nu = 3$",
            quantity=f"beyond.{place}", truth=0.0, truth_margin=0.1 * m,
        ),
    ]  # fmt: skip


of_density = af.Claim(
    id="heavy-tail-density/circle", source="derived", kind="exponent", quantity="density", size="bandwidth",
    statement=r"$(A f - f)/\varepsilon^{1/2} + c_\nu [\Lambda (p f) - f \Lambda p]/p$ is of order $\varepsilon^{1/2}$",
    hypotheses=r"circle, $p > 0$ smooth, by quadrature, $\nu = 1$", predicted=0.5, correction_power=0.5,
    measures=("empirical",),
)  # fmt: skip
schedule = af.Claim(
    id="heavy-tail-schedule/circle", source="derived", kind="exponent", quantity="schedule", size="bandwidth",
    statement=r"the error of $(A_N - I) f / \varepsilon^{1/2}$ at $\varepsilon \sim N^{-2/3}$ is of order "
    r"$\varepsilon^{1/2} \sim N^{-1/3}$",
    hypotheses=r"circle, uniform density, $\nu = 1$, the variance by quadrature", predicted=0.5, correction_power=0.5,
    measures=("empirical",),
)  # fmt: skip
study = af.Study(
    name="heavy_tail",
    measure=measure,
    ladder=[{"bandwidth": 10 ** (-2 - 0.75 * k)} for k in range(12)],
    quick=8,
    claims=[
        *(claim for name in DEGREES for place in PLACES for claim in claims_of(name, place)),
        *(claim for place in PLACES for claim in crossing(place)),
        of_density,
        of_density.control(
            statement=r"$(A f - f)/\varepsilon^{1/2} + c_\nu \Lambda f$ is of that order",
            quantity="uniform",
            truth=0.0,
        ),
        schedule,
        schedule.control(
            statement=r"the error of $(A_N - I) f / \varepsilon$ of Gaussian weights on that schedule is of that order",
            quantity="gaussian_schedule",
            truth=0.0,
        ),
    ],
    figures=[symbols],
    labels={
        **{f"{name}.{place}.ratio": r"ratio over $\Lambda_4/\Lambda_1$" for name in DEGREES for place in PLACES},
        **{f"{name}.{place}.spectral": "ratio over that of powers" for name in DEGREES for place in PLACES},
        **{f"{name}.{place}.lost": r"$1 - \kappa_1$" for name in DEGREES for place in PLACES},
        **{f"gaussian.{place}": r"$1 - \kappa_1$" for place in PLACES},
        **{f"{name}.{place}.constant": r"over $c_\nu \Lambda_1$" for name in DEGREES for place in PLACES},
        **{f"{name}.{place}.bare": "over another constant" for name in DEGREES for place in PLACES},
        **{f"{name}.{place}": "slope in the logarithm" for name in ("crossing", "beyond") for place in PLACES},
        "schedule": "error of the generator",
        "gaussian_schedule": "error of the generator",
        "density": "RMS distance from the limit",
        "uniform": r"RMS distance from $-c_\nu \Lambda f$",
    },
)  # fmt: skip
