"""Random asymmetric costs, a few of those that `tests/random_costs.py` takes."""

import numpy as np
from random_costs import errors_at_queries


def test_the_generator_of_a_random_cost_is_what_the_population_tends_to():
    generator = np.random.default_rng(20261126)
    for _ in range(2):
        errors, jumps = errors_at_queries("circle", generator)
        assert len(errors) > 0
        assert errors.max() < 1e-4  # the extrapolation alone has settled to 3e-5
        assert jumps.max() > 0.1
