"""The exponential of the compiled loops, against NumPy's extended precision."""

import numpy as np
import pytest

from attnflow.sums.kernel_sums.tiles import exp2


# A unit in the last place is 2.2e-16 and 1.2e-7 of the value; half of one is rounding of Horner's last step.
@pytest.mark.parametrize(("dtype", "reach"), [(np.float64, 1020), (np.float32, 124)])
def test_a_power_of_two_is_off_by_a_unit_in_the_last_place(dtype, reach):
    rng = np.random.default_rng(0)
    t = np.concatenate([rng.uniform(-reach, reach, 20_000), rng.uniform(-0.6, 0.6, 20_000), np.arange(-9, 10) / 2])
    t = t.astype(dtype)
    off = np.asarray(exp2(t)).astype(np.longdouble) / np.exp2(t.astype(np.longdouble)) - 1
    assert np.abs(off).max() < 2.2 * np.finfo(dtype).eps
    assert np.abs(np.mean(off)) < 0.2 * np.finfo(dtype).eps  # rounding, not a coefficient


def test_what_underflows_is_at_least_the_smallest_normal_number():
    assert np.asarray(exp2(np.array([-np.inf, -5000.0]))).max() < 1e-307
