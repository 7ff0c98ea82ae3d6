"""A claim moves when a life that it says it measures is wrong, and does not when another one is."""

import dataclasses

import pytest
from wrong_lives import AMOUNT, AMOUNTS, LIVES, STUDIES, has_moved, smallest, wrong

from attnflow.lab.loading import find_studies

STUDY = {study.name: study for study in find_studies(STUDIES)}
# Their smallest cases take more than a few seconds each, most of it compiling: `make wrong-lives` has them all.
SLOW = {"alpha", "depth_noise", "depth_noise_limit", "depth_sphere", "generator", "heat_flow", "key_weights", "scale"}
SLOW |= {"three_lives", "curved", "new_metric"}
SLOW |= {"graph_attention", "kernel_norms", "local_units", "pullbacks", "self_tuned"}
SLOW |= {"next_term", "query_key", "several_minimizers"}
SLOW |= {"profile_constant", "signed_kernel"}
SLOW |= {"heads", "sinkhorn", "sinkhorn_boundary"}
SLOW |= {"frozen", "metastable", "renyi_count"}
SLOW |= {"gumbel", "heat_sphere", "independent", "mean_field", "modes", "sinkhorn_flow"}
SLOW |= {"gaussian", "gaussian_sinkhorn"}
SLOW |= {"arcsin", "lipschitz", "suggested_bandwidth"}


def surprises(study):
    """What moves though it does not measure a life that is wrong, and what does not move though it does."""
    right = smallest(study)
    measured = sorted({life for claim in study.claims for life in claim.measures})
    found = []
    for lives in [*([life] for life in measured), sorted(LIVES.keys() - measured)]:
        for amount in sorted({AMOUNTS.get(claim.id, AMOUNT) for claim in study.claims}):
            with wrong(lives, amount):
                now = smallest(study)
            for claim in study.claims:
                if amount == AMOUNTS.get(claim.id, AMOUNT):
                    moved = has_moved(claim, right[claim.quantity], now[claim.quantity])
                    if moved != bool({*lives} & {*claim.measures}):
                        found.append(f"{claim.id} {'moves' if moved else 'does not move'} with {lives} wrong")
    return found


@pytest.mark.parametrize("name", sorted(STUDY.keys() - SLOW))
def test_a_claim_moves_with_the_lives_that_it_says_it_measures_and_with_no_other(name):
    assert surprises(STUDY[name]) == []


def test_a_claim_that_says_too_much_or_too_little_is_noticed():
    study = STUDY["stationary"]
    claims = [dataclasses.replace(claim, measures=("empirical", "limit")) for claim in study.claims]
    told = surprises(dataclasses.replace(study, claims=claims))
    assert "invariant/N does not move with ['limit'] wrong" in told
    assert any(line.startswith("invariant/N moves with") and "'population'" in line for line in told)
    assert not any(line.startswith("invariant/exact moves") for line in told)
