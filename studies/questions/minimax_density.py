"""Does the noise of many layers keep its constant where the density is not uniform?

With the uniform density on flat tori N times the squared noise of n = t/eps frozen layers is 2 pi e^{-t} log(1/eps) in
two dimensions and of order eps^{1 - m/2} in more (see the study `depth_noise_limit`). What grows so is due to the last
layers, which nothing smooths any more. Where grad u, u = e^{tL} f, and p hardly vary, N points are the density p and
white noise of the variance 1 / (N p); its wave q is answered by the geometric series

    -2i q . grad u / |q|^2  g(eps |q|^2 / 2),    g(v) = v / (e^v - 1),

so that at a point N E |err|^2 ~ |grad u|^2 / p  int (4/m) |q|^{-2} g^2 dq / (2 pi)^m. In the mean over the points p
cancels, and with int v^z (e^v - 1)^{-2} dv = Gamma(z + 1) [zeta(z) - zeta(z + 1)]

    N E |err|^2  ~  (1 / 2 pi) log(1/eps) int |grad u|^2 dvol                                                    m = 2,
                    (2 pi)^{-m/2} [zeta(m/2) - zeta(1 + m/2)] eps^{1 - m/2} int |grad u|^2 dvol                  m >= 3.

The density enters through u alone, whatever it is along axes that f does not see: the orders of the smallest error (see
the study `minimax_depth`) stay, and in the plane N times its square grows like (1 / 4 pi k) log N int |grad u|^2 dvol.

At every eps the first order of the noise is exact: for a product of densities A = A_1 x ... x A_m, and of f = cos x_1

    err(x) = 1/N sum_j sum_k [A^{n-1-k} psi_k](x, X_j),    psi_k(x, X) = kappa(x, X) [u_k(X) - u_{k+1}(x)],

u_k = A^k f, kappa the kernel over its integral. N E |err|^2 is a sum over k and k' of products over the axes of
integrals over two points of one axis each, by the trapezoid rule. For the uniform density it is half the sum of
`minimax_depth`.

Nothing is measured here (the study `minimax_density_noise` measures): by how much this sum grows in the plane when the
number of layers doubles, over log 2 and the constant; for m = 3 and 4 the sum over its leading term. The controls
take the noise of the mean density, vol / N for 1 / (N p): int p |grad u|^2 dvol for the mean of |grad u|^2.
"""

import functools

import jax
import numpy as np
import scipy.linalg
from scipy.special import zeta

import attnflow as af

TIME = 0.5
Weights = tuple[float, float]  # a and b of log p = a cos 2x + b cos x + const. on one axis
FIRST, OTHERS, UNIFORM = (0.8, 0.5), (0.0, 0.7), (0.0, 0.0)
PRODUCT = r"$p \propto e^{.8 \cos 2 x_1 + .5 \cos x_1} \prod_{i > 1} e^{.7 \cos x_i}$, $f = \cos x_1$, $t = 1/2$"
GROWTH = {
    2: r"what twice as many layers add to the noise, over $(\log 2 / 2\pi) \int |\nabla u|^2$,",
    3: r"the noise over $(2\pi)^{-3/2} [\zeta(3/2) - \zeta(5/2)] \varepsilon^{-1/2} \int |\nabla u|^2$",
    4: r"the noise over $(2\pi)^{-2} [\zeta(2) - \zeta(3)] \varepsilon^{-1} \int |\nabla u|^2$",
}


def nodes(count: int, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return the angles of a trapezoid rule and the probabilities of one axis."""
    angles = 2 * np.pi * np.arange(count) / count
    p = np.exp(weights[0] * np.cos(2 * angles) + weights[1] * np.cos(angles))
    return angles, p / p.sum()


def axis(n: int, weights: Weights) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the angles of one axis, their probabilities, the kernel over its integral (J, J) and the layer A."""
    eps = TIME / n
    # the kernel's symbol has fallen to 1e-24 at the first wave that the nodes do not see
    angles, masses = nodes(int(1.7 * 2 * np.pi / np.sqrt(eps)) + 16, weights)
    kernel = np.exp((np.cos(angles[:, None] - angles) - 1) / eps)
    kernel /= (kernel @ masses)[:, None]
    return angles, masses, kernel, kernel * masses


@functools.lru_cache(4)
def first_axis(n: int, weights: Weights) -> np.ndarray:
    """Return the integrals of products of A^{n-1-k} psi_k and A^{n-1-k'} psi_k' along the first axis, (n, n)."""
    angles, masses, kernel, layer = axis(n, weights)
    u = [np.cos(angles)]
    for _ in range(n):
        u.append(layer @ u[-1])
    roots = np.sqrt(masses)
    rows = np.empty((n, len(angles) ** 2))
    power = np.eye(len(angles))  # A^{n-1-k}
    for k in reversed(range(n)):
        response = power @ (kernel * (u[k] - u[k + 1][:, None]))
        rows[k] = (roots[:, None] * response * roots).ravel()
        power = layer @ power
    return rows @ rows.T


@functools.lru_cache(4)
def other_axis(n: int, weights: Weights) -> np.ndarray:
    """Return the integrals of products of A^{n-1-k} kappa and A^{n-1-k'} kappa along another axis, (n, n).

    A is self-adjoint in the masses times the kernel's integral, so that its powers have one orthogonal set of
    eigenvectors and the integrals are sums over pairs of eigenvalues, l_p^{n-k} l_q^{n-k'}.
    """
    _, masses, _, layer = axis(n, weights)
    integral = masses / np.diag(layer)  # the kernel before its division is 1 at x = X
    roots = np.sqrt(masses * integral)
    values, vectors = np.linalg.eigh(roots[:, None] * layer / roots)
    pairs = (vectors.T @ (vectors / integral[:, None])) * (vectors.T @ (vectors * integral[:, None]))
    powers = values ** np.arange(n, 0, -1)[:, None]
    return powers @ pairs @ powers.T


def noise(n: int, m: int, first: Weights = FIRST, others: Weights = OTHERS) -> float:
    """Return the limit of N E |err|^2, the mean over the points, of n layers to the time t in m dimensions."""
    return float(np.sum(first_axis(n, first) * other_axis(n, others) ** (m - 1)))


@functools.cache
def gradients() -> tuple[float, float]:
    """Return the mean of |grad u|^2 over the volume and over the density, by Fourier modes."""
    angles, p = nodes(201, FIRST)  # odd, so that no wave alternates from node to node
    waves = np.fft.fftfreq(len(p), 1 / len(p))
    derivative = np.fft.ifft(1j * waves[:, None] * np.fft.fft(np.eye(len(p)), axis=0), axis=0).real
    generator = (derivative @ (p[:, None] ** 2 * derivative)) / (2 * p[:, None] ** 2)
    squares = (derivative @ scipy.linalg.expm(TIME * generator) @ np.cos(angles)) ** 2
    return float(np.mean(squares)), float(squares @ p)


def leading(n: int, m: int) -> float:
    """Return the leading term of the noise over the mean of |grad u|^2, for m = 2 what a doubling of n adds."""
    if m == 2:
        return float(2 * np.pi * np.log(2))
    return float((2 * np.pi) ** (m / 2) * (zeta(m / 2) - zeta(1 + m / 2)) * (n / TIME) ** (m / 2 - 1))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the exact sums over their leading terms, and over those of the mean density."""
    n = case["layers"]
    row: dict[str, float] = {}
    for m in GROWTH:
        found = noise(n, m) - (noise(n // 2, m) if m == 2 else 0.0)
        for name, square in zip(("own", "mean"), gradients(), strict=True):
            row[f"{name}.{m}"] = found / (leading(n, m) * square)
    return row


def claims_in(m: int) -> list[af.Claim]:
    """Return what is claimed in m dimensions, with its control."""
    claim = af.Claim(
        id=f"minimax-density/torus-{m}", source="derived", kind="constant", quantity=f"own.{m}", size="layers",
        statement=f"{GROWTH[m]} tends to 1",
        hypotheses=rf"flat torus ($m = {m}$), {PRODUCT}, $N \to \infty$",
        # sums differ from integrals by eps^{1/2} for m = 3, by eps log(1/eps) for m = 2 and 4
        predicted=1.0, correction_power=0.5 if m == 3 else 1.0, measures=(),
    )  # fmt: skip
    own, mean = gradients()
    return [
        claim,
        claim.control(
            statement=f"{GROWTH[m].replace('|^2$', '|^2 p / p_0$')} tends to 1, $p_0$ the mean density",
            quantity=f"mean.{m}",
            truth=own / mean,
        ),
    ]


study = af.Study(
    name="minimax_density",
    measure=measure,
    ladder=[{"layers": n} for n in (32, 44, 64, 88, 128, 176, 256, 352)],
    quick=6,
    claims=[claim for m in GROWTH for claim in claims_in(m)],
    labels={
        **{f"own.{m}": "noise over its leading term" for m in GROWTH},
        **{f"mean.{m}": "noise over that of the mean density" for m in GROWTH},
    },
)
