"""A small slice of the random problems: declared errors are honest, and tolerances are kept."""

import numpy as np
import pytest
import random_problems

import attnflow as af


@pytest.mark.parametrize(("way", "count"), [("circle", 4), ("interval", 3)])
def test_errors_of_random_problems_are_declared(way, count):
    # The whole draw of two hundred is a script; these take a second or two.
    generator, known = np.random.default_rng(1), {"circle": af.Circle(), "interval": af.Interval(-1.0, 1.5)}
    problems = [random_problems.draw(generator, known, way) for _ in range(count)]
    outcomes = [random_problems.judge(problem) for problem in problems]
    assert sum(outcome.kind == "answered" for outcome in outcomes) >= count - 1  # a refusal is honest
    for problem, outcome in zip(problems, outcomes, strict=True):
        if outcome.kind == "answered":
            assert outcome.is_honest, problem
            assert outcome.keeps(problem.rtol), problem


def test_an_error_that_is_not_declared_is_seen():
    honest = random_problems.Outcome("answered", true=2.9e-6, declared=1e-6, doubt=0.0, size=2.0)
    assert honest.is_honest
    assert honest.keeps(1.5e-6)
    assert not honest._replace(true=3.1e-6).is_honest
    assert not honest.keeps(1.4e-6)
