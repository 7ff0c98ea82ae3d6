"""Wasserstein distances against linear programs, closed forms and other codes; what turns, shifts and scales them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance

import attnflow as af
from attnflow.comparison import transport
from attnflow.errors import ConfigError, ConvergenceError, DataError, ResourceError

RNG = np.random.default_rng(5)
A, B = 3 * RNG.random((7, 1)), 1 + RNG.random((5, 1)) ** 2
WA, WB = 0.2 + RNG.random(7), 0.2 + RNG.random(5)
TURNED = np.array([0.1, 0.4, 1.9, 2.2, 3.0, 5.8, 6.2]), np.array([0.3, 2.9, 3.1, 4.0, 6.1])


def on_circle(angles: np.ndarray) -> np.ndarray:
    return np.column_stack([np.cos(angles), np.sin(angles)])


def cheapest(costs: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """The least cost of a plan with margins a and b, by linear programming."""
    n, m = costs.shape
    rows = [np.kron(np.eye(n)[i], np.ones(m)) for i in range(n)] + [np.kron(np.ones(n), np.eye(m)[j]) for j in range(m)]
    found = linprog(costs.ravel(), A_eq=np.array(rows), b_eq=np.concatenate([a / a.sum(), b / b.sum()]), method="highs")
    return float(found.fun)


def arcs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    apart = np.mod(a[:, None] - b, 2 * np.pi)
    return np.minimum(apart, 2 * np.pi - apart)


@pytest.mark.parametrize("order", [1, 2])
def test_distances_on_the_line_are_those_of_the_best_plan(order: int) -> None:
    found = af.wasserstein(af.DiscreteMeasure(A, WA), af.DiscreteMeasure(B, WB), order=order)
    assert found**order == pytest.approx(cheapest(np.abs(A - B.T) ** order, WA, WB), rel=1e-9)  # HiGHS solves to 1e-9
    if order == 1:
        assert found == pytest.approx(wasserstein_distance(A[:, 0], B[:, 0], WA, WB), rel=1e-13)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("manifold", [af.Circle(), af.FlatTorus(1)])
def test_distances_on_the_circle_are_those_of_the_best_plan_along_arcs(order: int, manifold: af.Manifold) -> None:
    a, b = TURNED
    measures = af.DiscreteMeasure(on_circle(a), WA), af.DiscreteMeasure(on_circle(b), WB)
    found = af.wasserstein(*measures, order=order, manifold=manifold)
    assert found**order == pytest.approx(cheapest(arcs(a, b) ** order, WA, WB), rel=1e-9)
    back = af.wasserstein(*measures[::-1], order=order, manifold=manifold)
    assert back == pytest.approx(found, rel=1e-12)
    # Unrolled to a line the way may be longer: here the best plan crosses the angle zero.
    line = af.wasserstein(af.DiscreteMeasure(a[:, None], WA), af.DiscreteMeasure(b[:, None], WB), order=order)
    assert line > 1.01 * found


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("turn", [0.3, 3.0, -2.5])
def test_turning_an_even_ring_or_one_point_moves_all_mass_by_the_turn(order: int, turn: float) -> None:
    """One point moves along the shorter arc; 5 even points by the turn modulo 2 pi / 5, to the nearest."""
    point = [on_circle(np.array([0.7 + s])) for s in (0.0, turn)]
    assert af.wasserstein(*point, order=order, manifold=af.Circle()) == pytest.approx(abs(turn), rel=1e-12)
    ring = [on_circle(2 * np.pi * np.arange(5) / 5 + s) for s in (0.0, turn)]
    step = 2 * np.pi / 5
    nearest = abs(turn - step * np.round(turn / step))
    assert af.wasserstein(*ring, order=order, manifold=af.Circle()) == pytest.approx(nearest, rel=1e-12)


def density_on_circle(count: int) -> af.Trajectory:
    """p = (1 + cos(t) / 2) / 2 pi at nodes."""
    angles = 2 * np.pi * np.arange(count) / count
    return af.Trajectory(
        times=[0.0], points=on_circle(angles), values=(1 + 0.5 * np.cos(angles))[None] / (2 * np.pi),
        weights=np.full(count, 2 * np.pi / count),
    )  # fmt: skip


def quantile_tokens(count: int) -> np.ndarray:
    """The tokens F^{-1}((i + 1/2) / N) of that density."""
    fine = np.linspace(0, 2 * np.pi, 200_001)
    return on_circle(np.interp((np.arange(count) + 0.5) / count, (fine + 0.5 * np.sin(fine)) / (2 * np.pi), fine))


def test_quantile_tokens_are_pi_over_2n_from_their_density() -> None:
    """Every token serves its own arc, of mass 1/N, on both sides: W1 = (1/N) 2 pi / 4, whatever the density.

    Masses of nodes spread over cells leave an error of order h^2, with h = 2 pi / 2048 about 1e-6 of W1 here.
    """
    tokens, density = quantile_tokens(100), density_on_circle(2048)
    found = af.wasserstein(tokens, density, manifold=af.Circle())
    assert 100 * found == pytest.approx(np.pi / 2, rel=1e-5)
    squared = af.wasserstein(tokens, density, order=2, manifold=af.Circle())
    assert squared > found
    # Taken as atoms, nodes are themselves apart from the density.
    atoms = af.DiscreteMeasure(density.points, density.values[0])
    assert af.wasserstein(atoms, density, manifold=af.Circle()) == pytest.approx(np.pi / 2 / 2048, rel=1e-2)
    assert found.noise_floor > 5 * found  # a sample of 100 would be off by much more
    assert af.wasserstein(density, density_on_circle(512), manifold=af.Circle()).noise_floor == 0


def test_a_density_on_the_line_is_constant_on_cells() -> None:
    """The uniform law on [0, 1] from 50 nodes, and a point mass at 0: W1 = 1/2, W2 = 3^{-1/2}."""
    nodes = (np.arange(50) + 0.5)[:, None] / 50
    density = af.Trajectory(times=[0.0], points=nodes, values=np.ones((1, 50)))
    assert af.wasserstein(np.zeros((1, 1)), density) == pytest.approx(0.5, rel=1e-12)
    assert af.wasserstein(np.zeros((1, 1)), density, order=2) == pytest.approx(3**-0.5, rel=1e-12)


def test_the_noise_floor_is_what_two_samples_of_one_law_are_apart() -> None:
    """For 400 uniform points each, E W1 is int E|F_a - F_b| = (2/pi)^{1/2} (2/400)^{1/2} pi/8 = .0222."""
    rng = np.random.default_rng(3)
    a, b = rng.random((2, 400, 1))
    floor = af.wasserstein(a, b).noise_floor
    assert 0.0222 * 0.7 < floor < 0.0222 * 1.6  # a root mean square is 8 % above the mean; ten pairs scatter by a tenth
    assert af.wasserstein(a, b + 0.5).noise_floor < 0.1  # of the pooled law: larger, but no distance of .5
    assert af.wasserstein(a, b + 0.5) > 4 * af.wasserstein(a, b + 0.5).noise_floor
    # Weights count for as many points as they have an effective size.
    few = af.DiscreteMeasure(a, np.where(np.arange(400) < 4, 1.0, 1e-9))
    assert af.wasserstein(few, b).noise_floor > 3 * floor


def test_a_distance_is_a_number_that_prints_its_floor_and_survives_pickling() -> None:
    found = af.wasserstein(A, B)
    assert isinstance(found, float)
    assert repr(found) == f"{float(found):.6g} (noise floor {found.noise_floor:.2g})"
    again = pickle.loads(pickle.dumps(found))
    assert (again, again.noise_floor) == (found, found.noise_floor)
    assert isinstance(found + 1, float)


def test_sliced_distances_come_with_the_error_of_their_directions() -> None:
    """Of a shift by v the distance along theta is |theta.v|, on the plane 2/pi |v| on average."""
    points = RNG.standard_normal((60, 2))
    shift = np.array([0.3, -0.4])
    found = af.wasserstein(points, points + shift, directions=400)
    assert abs(found - 1 / np.pi) < 4 * found.directions_error
    assert 0 < found.directions_error < 0.02
    second = af.wasserstein(points, points + shift, order=2, directions=400)  # (E (theta.v)^2)^{1/2}
    assert abs(second - 0.5 / 2**0.5) < 4 * second.directions_error
    assert af.wasserstein(points, points).directions_error == 0
    assert "directions +-" in repr(found)


def test_the_floor_of_a_sliced_distance_takes_all_directions_and_no_more() -> None:
    """Of points on a line through the plane a direction sees the share |cos|: 2/pi of the floor on that line."""
    rng = np.random.default_rng(4)
    a, b = rng.random((2, 400, 1))
    plane = af.wasserstein(a * [0.6, 0.8], b * [0.6, 0.8])
    assert plane.noise_floor == pytest.approx(2 / np.pi * af.wasserstein(a, b).noise_floor, rel=0.4)  # ten pairs each
    assert af.wasserstein(a * [0.6, 0.8], b * [0.6, 0.8], directions=2).noise_floor > 0  # fewer directions than pairs


def test_exact_distances_in_space_are_those_of_the_best_plan() -> None:
    pytest.importorskip("ot")
    a, b = RNG.standard_normal((6, 2)), RNG.standard_normal((4, 2))
    apart = np.linalg.norm(a[:, None] - b, axis=2)
    measures = af.DiscreteMeasure(a, WA[:6]), af.DiscreteMeasure(b, WB[:4])
    for order in (1, 2):
        found = af.wasserstein(*measures, order=order, method="exact")
        assert found**order == pytest.approx(cheapest(apart**order, WA[:6], WB[:4]), rel=1e-9)
        assert af.wasserstein(*measures, order=order) < found  # sliced
    assert af.wasserstein(*measures, method="exact").noise_floor > 0


class _Solver:
    """What stands for POT: it returns the cost of the product plan, or says that it did not end."""

    def __init__(self, warning: str | None) -> None:
        self.warning = warning

    def emd2(self, a: np.ndarray, b: np.ndarray, costs: np.ndarray, **options: object) -> tuple[float, dict]:
        return float(a @ costs @ b), {"warning": self.warning}


def test_what_the_linear_program_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.zeros((2, 2)), np.array([[3.0, 4.0]])
    monkeypatch.setattr(transport, "optional", lambda name: None)
    with pytest.raises(ConfigError, match=r"POT, which is not installed\. Run pip install 'attnflow\[transport\]'"):
        af.wasserstein(a, b, method="exact")
    monkeypatch.setattr(transport, "optional", lambda name: _Solver(None))
    assert af.wasserstein(a, b, method="exact") == 5.0
    monkeypatch.setattr(transport, "optional", lambda name: _Solver("numItermax reached."))
    with pytest.raises(ConvergenceError, match=r"does not end: numItermax reached\. Use method='sliced'"):
        af.wasserstein(a, b, method="exact")
    monkeypatch.setattr(transport, "_LARGEST_PLAN", 1)
    with pytest.raises(ResourceError, match="2 and 1 points"):
        af.wasserstein(a, b, method="exact")


def test_what_is_no_distance_is_refused() -> None:
    flow = af.TokenTrajectory(times=[0.0, 1.0], points=np.zeros((2, 3, 1)))
    law = af.GaussianTrajectory(times=[0.0], means=[[0.0]], covariances=[[[1.0]]])
    for given, words in [
        (dict(a=A, b=B, order=3), "`order` must be 1 or 2"),
        (dict(a=A, b=B, method="simplex"), "`method` must be one of"),
        (dict(a=A, b=B, directions=1), "`directions`"),
        (dict(a=A, b=B, manifold=af.Sphere(2)), "has no distances between laws"),
        (dict(a=on_circle(A[:, 0]), b=on_circle(B[:, 0]), manifold=af.Circle(), method="sliced"), "Drop it"),
        (dict(a=flow, b=B), "trajectory of 2 times"),
        (dict(a=A, b=law), "`b` is a GaussianTrajectory, of whose laws the moments are known"),
    ]:
        with pytest.raises(ConfigError, match=words):
            af.wasserstein(given.pop("a"), given.pop("b"), **given)
    for a, b, words in [
        (A, np.zeros((3, 2)), "as many coordinates, got 1 and 2"),
        (np.array([[np.nan]]), B, "`a` holds"),
        (A, [1.0, 2.0], "`b`"),
        (A, 1e200 * B, "overflow beyond 1e\\+150"),
        (af.Trajectory(times=[0.0], points=A, values=-np.ones((1, 7))), B, "must not be negative"),
        (af.Trajectory(times=[0.0], points=A, values=np.ones((1, 7, 2))), B, "one value per point"),
    ]:
        with pytest.raises(DataError, match=words):
            af.wasserstein(a, b)
    with pytest.raises(DataError, match="`b`"):
        af.wasserstein(on_circle(A[:, 0]), 2 * on_circle(B[:, 0]), manifold=af.Circle())


def test_masses_of_zero_and_the_unit_of_weights_do_not_matter() -> None:
    padded = af.DiscreteMeasure(np.concatenate([A, [[77.0]]]), np.concatenate([12 * WA, [0.0]]))
    plain = af.DiscreteMeasure(A, WA)
    for distance in (af.wasserstein, af.mmd, af.moments):
        assert distance(padded, B) == pytest.approx(distance(plain, B), rel=1e-12)
