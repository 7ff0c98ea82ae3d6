"""Results as arrays of xarray: their axes have names, their coordinates numbers, and nothing is lost on the way."""

import sys

import numpy as np
import pytest

import attnflow as af
from attnflow.errors import ConfigError, DataError

RNG = np.random.default_rng(4)
POINTS = RNG.normal(size=(5, 3))
WEIGHTS = np.array([0.5, 1.0, 0.0, 2.0, 1.0])
SCALAR = af.Trajectory([0.0, 0.5], POINTS, RNG.normal(size=(2, 5)), WEIGHTS, 1e-9, "by hand")
VECTOR = af.Trajectory([0.0, 0.5], POINTS, RNG.normal(size=(2, 5, 4)))
TOKENS = af.TokenTrajectory([0.0, 0.5, 1.0], RNG.normal(size=(3, 5, 2)), WEIGHTS, 1e-6, "by steps")
SPECTRUM = af.Spectrum(np.array([0.0, 0.5]), lambda points: np.column_stack([np.ones(len(points)), points[:, 0]]), 1e-8)


def test_a_trajectory_has_dims_time_and_point_and_value_where_values_are_vectors():
    scalar, vector = SCALAR.to_xarray(), VECTOR.to_xarray()
    assert scalar.dims == ("time", "point")
    assert vector.dims == ("time", "point", "value")
    for made, flow in ((scalar, SCALAR), (vector, VECTOR)):
        np.testing.assert_array_equal(made, flow.values)
        np.testing.assert_array_equal(made.time, flow.times)
        np.testing.assert_array_equal(np.stack([made.x_1, made.x_2, made.x_3], axis=1), flow.points)
    np.testing.assert_array_equal(scalar.weight, WEIGHTS)
    assert "weight" not in vector.coords
    assert scalar.name == "u"
    assert scalar.attrs == {"solver_error": 1e-9, "method": "by hand"}


def test_numbers_are_found_by_their_names_and_become_a_table():
    mean = SCALAR.to_xarray().sel(time=0.5).weighted(SCALAR.to_xarray().weight).mean("point")
    assert mean.item() == pytest.approx(WEIGHTS @ SCALAR.values[1] / WEIGHTS.sum(), abs=1e-15)
    table = SCALAR.to_xarray().to_dataframe()
    assert table.loc[(0.5, 3), "u"] == SCALAR.values[1, 3]
    assert table.loc[(0.5, 3), "x_2"] == POINTS[3, 1]


def test_what_is_written_to_the_array_does_not_reach_the_trajectory():
    made, before = SCALAR.to_xarray(), SCALAR.values.copy()
    made[:] = 0.0
    np.testing.assert_array_equal(SCALAR.values, before)


def test_tokens_have_dims_time_token_and_coordinate():
    made = TOKENS.to_xarray()
    assert made.dims == ("time", "token", "coordinate")
    np.testing.assert_array_equal(made.sel(time=1.0), TOKENS.points[2])
    np.testing.assert_array_equal(made.weight, WEIGHTS)
    assert made.attrs == {"solver_error": 1e-6, "method": "by steps"}


def test_eigenfunctions_at_points_carry_their_eigenvalues():
    made = SPECTRUM.to_xarray(POINTS)
    assert made.dims == ("point", "k")
    np.testing.assert_array_equal(made.eigenvalue, SPECTRUM.eigenvalues)
    np.testing.assert_array_equal(made.isel(k=1), made.x_1)
    assert made.attrs == {"solver_error": 1e-8}
    with pytest.raises(DataError, match="`at` must have shape"):
        SPECTRUM.to_xarray(POINTS[0])


@pytest.mark.parametrize("ask", [SCALAR.to_xarray, TOKENS.to_xarray, lambda: SPECTRUM.to_xarray(POINTS)])
def test_without_the_library_its_extra_is_named(ask, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(
        ConfigError, match=r"needs xarray, which is not installed. Run pip install 'attnflow\[tables\]'"
    ):
        ask()


def test_verdicts_are_rows_of_a_table():
    pandas = pytest.importorskip("pandas")
    claim = af.Claim(
        id="bias", source="RZ", statement="of order eps", kind="exponent", quantity="bias", size="bandwidth",
        hypotheses="p smooth", predicted=1.0,
    )  # fmt: skip
    ladder = [af.Level(size=h, values=[h], deterministic=True) for h in (0.4, 0.2, 0.1, 0.05, 0.025, 0.0125)]
    table = pandas.DataFrame([af.judge(claim, ladder).row()]).set_index("id")
    assert table.loc["bias", "verdict"] == "supported"
