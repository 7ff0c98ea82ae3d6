"""Mean fields of attention by other ways than the package: NumPy and SciPy alone.

On the circle rho is followed at equally spaced angles, with derivatives by complex Fourier transforms; on S^2 by
its complex harmonics, in polar angles, at the nodes of a Gauss rule. Kernels are matrices between the nodes.
"""

import functools
import math

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import iv, ive

STEP = 3e-14  # tolerance of steps: with 1e-12 densities are off by 1e-10


def dot(inverse_temperature):
    """The kernel e^{beta <x, y>} between rows of points, up to a factor that does not matter if rows are divided."""
    return lambda x, y: np.exp(inverse_temperature * (x @ y.T - 1))


def with_matrices(heads, points):
    """The heads with their kernels between all points."""
    return [(kernel(points, points), rows, output) for kernel, rows, output in heads]


def moved(points, masses, heads, *, value, centred):
    """V sum_h (A_h id) W_h at the points, for points of these masses."""
    total = 0.0
    for matrix, rows, output in heads:
        weights = masses
        if rows == "sinkhorn":
            weights = masses * sinkhorn_weights(matrix, masses)
        mean = matrix @ (weights[:, None] * points)
        if rows != "unnormalized":
            mean = mean / (matrix @ weights)[:, None]
        total = total + mean @ output
    return (total - points if centred else total) @ np.asarray(value).T


def sinkhorn_weights(matrix, masses):
    """e^u with e^u_i sum_j k_ij e^u_j m_j = 1, of a symmetric kernel."""
    weights = np.ones(len(masses))
    for _ in range(50):
        weights = np.sqrt(weights / (matrix @ (weights * masses)))
    return weights


def on_circle(log_density, heads, *, times, value, centred=False, diffusivity=0.0, count=128):
    """Angles (n,) and densities (T, n), of a density given up to a factor by its logarithm as a function of angles."""
    angles = 2 * np.pi * np.arange(count) / count
    points = np.column_stack([np.cos(angles), np.sin(angles)])
    tangents = np.column_stack([-np.sin(angles), np.cos(angles)])
    waves = 1j * np.fft.fftfreq(count, 1 / count)
    waves[count // 2] = 0
    heads = with_matrices(heads, points)

    def rate(_, density):
        velocity = moved(points, density * 2 * np.pi / count, heads, value=value, centred=centred)
        flux = density * np.sum(velocity * tangents, axis=1)
        flux = flux - diffusivity * np.fft.ifft(waves * np.fft.fft(density)).real
        return -np.fft.ifft(waves * np.fft.fft(flux)).real

    start = np.exp(log_density(angles))
    start /= start.sum() * 2 * np.pi / count
    found = solve_ivp(rate, (0, max(times)), start, "DOP853", t_eval=times, rtol=STEP, atol=STEP)
    return angles, found.y.T


def legendre(degree, heights):
    """Normalised P_lm(z) and dP_lm / d theta for 0 <= m <= l <= degree: a dictionary (l, m) -> two arrays."""
    sines = np.sqrt(1 - heights**2)
    found = {(0, 0): np.full_like(heights, math.sqrt(1 / (4 * math.pi)))}
    for m in range(1, degree + 1):
        found[m, m] = -math.sqrt((2 * m + 1) / (2 * m)) * sines * found[m - 1, m - 1]
    for m in range(degree):
        found[m + 1, m] = math.sqrt(2 * m + 3) * heights * found[m, m]
        for n in range(m + 2, degree + 1):
            a = math.sqrt((4 * n * n - 1) / (n * n - m * m))
            b = math.sqrt(((n - 1) ** 2 - m * m) / (4 * (n - 1) ** 2 - 1))
            found[n, m] = a * (heights * found[n - 1, m] - b * found[n - 2, m])
    slopes = {}
    for (n, m), values in found.items():
        below = found.get((n - 1, m), 0.0)
        ratio = math.sqrt((n * n - m * m) * (2 * n + 1) / (2 * n - 1)) if n else 0.0
        slopes[n, m] = (n * heights * values - ratio * below) / sines
    return {key: (found[key], slopes[key]) for key in found}


@functools.cache
def sphere_rule(degree):
    """Nodes (M, 3), weights, frames and complex harmonics with their derivatives along theta and phi."""
    heights, masses = np.polynomial.legendre.leggauss(3 * degree // 2)
    longitudes = 2 * np.pi * np.arange(3 * degree) / (3 * degree)
    z, phi = (grid.ravel() for grid in np.meshgrid(heights, longitudes, indexing="ij"))
    weights = np.repeat(masses, len(longitudes)) * 2 * np.pi / len(longitudes)
    s = np.sqrt(1 - z**2)
    points = np.column_stack([s * np.cos(phi), s * np.sin(phi), z])
    south = np.column_stack([z * np.cos(phi), z * np.sin(phi), -s])
    east = np.column_stack([-np.sin(phi), np.cos(phi), 0 * phi])
    table = legendre(degree, z)
    values, along_south, along_east, orders = [], [], [], []
    for (n, m), (value, slope) in table.items():
        for sign in {1, -1} if m else {1}:
            wave = np.exp(1j * sign * m * phi)
            values.append(value * wave)
            along_south.append(slope * wave)
            along_east.append(1j * sign * m * value * wave / s)
            orders.append(n)
    columns = [np.column_stack(each) for each in (values, along_south, along_east)]
    return points, weights, south, east, columns, np.array(orders)


def on_sphere(log_density, heads, *, times, value, centred=False, diffusivity=0.0, degree=20):
    """Nodes (M, 3) and densities (T, M) on S^2, of a density given up to a factor by its logarithm at points (M, 3)."""
    points, weights, south, east, (values, along_south, along_east), orders = sphere_rule(degree)
    heads = with_matrices(heads, points)
    decay = diffusivity * orders * (orders + 1.0)

    def rate(_, moments):
        density = (values @ moments).real
        velocity = moved(points, density * weights, heads, value=value, centred=centred)
        masses = weights * density
        gained = along_south.conj().T @ (masses * np.sum(velocity * south, axis=1))
        return gained + along_east.conj().T @ (masses * np.sum(velocity * east, axis=1)) - decay * moments

    start = np.exp(log_density(points))
    start /= weights @ start
    begin = values.conj().T @ (weights * start)
    found = solve_ivp(rate, (0, max(times)), begin, "DOP853", t_eval=times, rtol=STEP, atol=STEP)
    return points, (values @ found.y).real.T


def growth(order, inverse_temperature, *, dim, divided=True):
    """Rate at which a harmonic of this degree grows about uniform tokens on S^1 or S^2, V = I, kernel e^{beta <x, y>}.

    l (l + m - 1) b_l / beta with b_l the eigenvalue of the kernel, over that of constants if rows are divided.
    """
    shift = (dim - 1) / 2
    if divided:
        eigenvalue = ive(order + shift, inverse_temperature) / ive(shift, inverse_temperature)
    else:
        uniform = math.gamma(shift + 1) * (2 / inverse_temperature) ** shift  # mean of the kernel over the sphere
        eigenvalue = uniform * iv(order + shift, inverse_temperature)
    return order * (order + dim - 1) * eigenvalue / inverse_temperature
