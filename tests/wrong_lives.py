"""Lives of attention that are wrong by a named amount, under every study: what a claim measures must move.

Of a life that is wrong by an amount a, one layer is A f + a A f, many layers and the flow of the limit are (1 + a)
times what they should be at every time but zero, the generator goes with them, eigenvalues are shifted by a times the
largest, and what is known of the points (effective sample sizes, normalisers, stationary weights) is off by a, in the
last at the heavier half of the points only, as common factors cancel there.

Of tokens that move velocities, and how far they have come, are (1 + a) times what they should be, and off by a of the
largest in every coordinate, to and fro: those at rest move as well, and those that are together come apart. A mean
field is (1 + a) times as fast as it should be, with noise of the diffusivity a / 10. Means and covariances of the
closure of Gaussian ones are (1 + a) times what they should be at every time but zero, and they last so much longer.

Run as a script this judges whole studies at quick size with each life wrong, and prints claim, amount and verdict:

    python tests/wrong_lives.py [STUDY ...]
"""

import contextlib
import dataclasses
import functools
import inspect
import sys
from pathlib import Path

import jax
import numpy as np

import attnflow as af
from attnflow.comparison.budgets import Lives, budget_of
from attnflow.judge.levels import Level
from attnflow.judge.verdicts import judge
from attnflow.lab.loading import find_studies
from attnflow.lab.study import Task

LIVES = {
    "empirical": "EmpiricalAttention",
    "population": "PopulationAttention",
    "limit": "DriftDiffusion",
    "expansion": "LaplaceExpansion",
    "tokens": "TokenFlow",
    "mean_field": "MeanFieldFlow",
    "closure": "GaussianClosure",
}
AMOUNT = 0.1
# Values that have decayed stay in the range of f though they are a tenth too large, as do eigenvalues below one; of 64
# points the noise of many moments hides that those they tend to are a tenth off. An average of two points is small
# beside what it is off from f.
AMOUNTS = dict.fromkeys(
    [
        "maximum-principle/circle", "maximum-principle/sphere", "maximum-principle-control/circle",
        "spectrum-wells", "spectrum-wells-control", "invariant/N", "RZ-GAT-control/interval",
    ],
    0.5,
)  # fmt: skip
# Few tokens are spread more widely than a mean field that is a tenth too fast is off.
AMOUNTS |= dict.fromkeys([f"V-meanfield/{name}" for name in ("quantiles", "constant", "independent", "moments")], 0.5)
AMOUNTS["V-meanfield-control/moments"] = 0.5
# At the end of an interval a layer is fifty times as far from its limit as that is from zero.
AMOUNTS |= dict.fromkeys(["boundary/steep/sup", "boundary/steep/L2"], 2.0)
# Bounds are not sharp: what is found has to grow by more than they leave.
AMOUNTS |= dict.fromkeys(["V-lip/plane", "V-lip-control/plane", "V-input/line", "V-input-control/line"], 0.5)
# Clusters are whole numbers, and where they are is far from the maxima of another mode, a little off or not.
AMOUNTS |= dict.fromkeys(["B-clusters/circle", "B-clusters-control/circle", "B-centres-control/circle"], 1.5)
OF_FLOWS = ("jacobian_norm", "wasserstein_lipschitz", "fixed_point")  # what else is asked of tokens that move
STUDIES = Path(__file__).parents[1] / "studies"


class Wrong:
    """A life with the answers of another one, wrong by an amount."""

    def __init__(self, right, amount):
        self.right, self.amount = right, amount

    def __getattr__(self, name):
        return getattr(self.right, name)

    def at_bandwidth(self, bandwidth):
        return type(self)(self.right.at_bandwidth(bandwidth), self.amount)

    def layer(self, f, at=None):
        return (1 + self.amount) * self.right.layer(f, at=at)

    def evolve(self, f, *, times, at=None):
        flow = self.right.evolve(f, times=times, at=at)
        later = np.where(flow.times > 0, 1 + self.amount, 1.0)
        return dataclasses.replace(flow, values=flow.values * later.reshape(-1, *[1] * (flow.values.ndim - 1)))

    def spectrum(self, k):
        found = self.right.spectrum(k)
        return found._replace(eigenvalues=found.eigenvalues + self.amount * found.eigenvalues.max())

    def log_normalizer(self, at=None):
        return (1 + self.amount) * self.right.log_normalizer(at=at)

    def effective_sample_size(self, at=None):
        return (1 + self.amount) * self.right.effective_sample_size(at=at)

    def stationary(self):
        weights = self.right.stationary()
        weights = weights * np.where(weights > np.median(weights), 1 + self.amount, 1.0)
        return weights / weights.sum()


class WrongSums(Wrong):
    """With (1 + a) A f for A f the generator is off by a A f / eps."""

    def generator(self, f, at=None):
        off = self.amount * self.right.layer(f, at=at) / self.right.attention.bandwidth
        return self.right.generator(f, at=at) + off

    def sampling_variance(self, f, at=None, **options):
        return (1 + self.amount) * self.right.sampling_variance(f, at=at, **options)


class WrongEquation(Wrong):
    """Faster or slower than it should be."""

    def generator(self, f, at=None):
        return (1 + self.amount) * self.right.generator(f, at=at)

    def bias(self, f, at=None):
        return (1 + self.amount) * self.right.bias(f, at=at)

    def leading_order(self, f, at=None):
        found = self.right.leading_order(f, at=at)
        return found._replace(values=(1 + self.amount) * found.values)


class WrongTokens(Wrong):
    """Tokens that move faster, and where they should be at rest."""

    def velocity(self, tokens, at=None):
        return self._off(self.right.velocity(tokens, at=at))

    def evolve(self, tokens, times, integrator=None):
        moved = self.right.evolve(tokens, times, integrator=integrator)
        start = np.asarray(getattr(tokens, "points", tokens))
        events = tuple(event._replace(time=(1 + self.amount) * event.time) for event in moved.events)
        points = start + np.stack([self._off(now - start) for now in moved.points])
        return dataclasses.replace(moved, points=points, events=events)

    def _off(self, change):
        signs = np.where(np.arange(len(change)) % 2, 1.0, -1.0)[:, None]
        return (1 + self.amount) * change + self.amount * np.abs(change).max() * signs

    def asked(self, question, *given, **named):
        """Return what a function of flows says of one whose values are too large."""
        how = dict(manifold=self.right.manifold, centred=self.right.centred, rtol=self.right.rtol)
        stretched = type(self.right)(self.right.attention, (1 + self.amount) * self.right.value, **how)
        return question(stretched, *given, **named)


class WrongMeanField(Wrong):
    """Tokens that move faster, and with noise."""

    def __init__(self, right, amount):
        noise = right.diffusivity + amount / 10
        kept = {"value": right.value, "centred": right.centred, "rtol": right.rtol}
        super().__init__(type(right)(right.attention, right.density, diffusivity=noise, **kept), amount)

    def velocity(self, at=None):
        return (1 + self.amount) * self.right.velocity(at=at)

    def evolve(self, times, at=None):
        moved = self.right.evolve((1 + self.amount) * np.asarray(times), at=at)
        return dataclasses.replace(moved, times=moved.times / (1 + self.amount))


class WrongClosure(Wrong):
    """A Gaussian law farther out and wider than it should be."""

    def evolve(self, *, mean, covariance, times):
        law = self.right.evolve(mean=mean, covariance=covariance, times=times)
        later = np.where(law.times > 0, 1 + self.amount, 1.0)
        return dataclasses.replace(
            law, means=law.means * later[:, None], covariances=law.covariances * later[:, None, None],
            blow_up_time=(1 + self.amount) * law.blow_up_time,
        )  # fmt: skip


PROXIES = {"empirical": WrongSums, "population": WrongSums, "tokens": WrongTokens, "mean_field": WrongMeanField}
PROXIES |= {"closure": WrongClosure}


@contextlib.contextmanager
def wrong(lives, amount):
    """Let studies find these lives wrong by this amount."""
    right = {life: getattr(af, LIVES[life]) for life in lives}
    for life, exact in right.items():
        proxy = PROXIES.get(life, WrongEquation)
        setattr(af, LIVES[life], functools.partial(_made_wrong, proxy, exact, amount))
    budget = af.error_budget
    af.error_budget = functools.partial(budget_of, Lives(*(getattr(af, LIVES[life]) for life in Lives._fields)))
    questions = {name: getattr(af, name) for name in OF_FLOWS if "tokens" in lives}
    for name, question in questions.items():
        setattr(af, name, functools.partial(_asked_wrong, question))
    try:
        with np.errstate(invalid="ignore"):  # a variance below zero is as wrong as it should be
            yield
    finally:
        for life, exact in right.items():
            setattr(af, LIVES[life], exact)
        af.error_budget = budget
        for name, question in questions.items():
            setattr(af, name, question)


def _asked_wrong(question, flow, *given, **named):
    return flow.asked(question, *given, **named)


def _made_wrong(proxy, exact, amount, *given, **named):
    return proxy(exact(*given, **named), amount)


def forget(study):
    """Clear what the functions of a study have kept; the functions stay, and so does what JAX compiled of them."""
    # Its own module, which another load of the same file has pushed out of `sys.modules`.
    for value in inspect.unwrap(study.measure).__globals__.values():
        getattr(value, "cache_clear", lambda: None)()


def keys_of(study, seeds):
    return Task(study=study.name, case={}, seeds=range(seeds), master_seed=0, source="").seed_keys()


def smallest(study, *, seeds=2):
    """What the first cases measure that have every quantity of the claims: quantity -> values."""
    forget(study)
    wanted = {claim.quantity for claim in study.claims}
    found = {}
    for case in study.cases(quick=True):
        if wanted <= found.keys():
            break
        measured = study.measure(dict(case), keys_of(study, 1 if study.deterministic else seeds))
        found = {**measured, **found}
    return {quantity: np.asarray(found[quantity]) for quantity in wanted}


def has_moved(claim, right, now):
    """Whether numbers differ by more than a hundredth, and by more than what an identity tolerates, or are none now."""
    tolerated = claim.margin if claim.kind in ("identity", "flag") else 0.0
    return not (np.abs(now - right) <= np.maximum(0.01 * np.abs(right), tolerated)).all()


def whole(study):
    """The verdicts of a quick run, without a store."""
    forget(study)
    table = []
    for case in study.cases(quick=True):
        try:
            table.append((case, study.measure(dict(case), keys_of(study, study.quick_seeds)), None))
        except Exception as error:
            table.append((case, None, str(error)))
    verdicts = {}
    for claim in study.claims:
        levels = [
            Level(
                size=case[claim.size], values=[] if failed else arrays[claim.quantity],
                deterministic=study.deterministic, failed=failed,
            )
            for case, arrays, failed in table
            if claim.size in case and (failed or claim.quantity in arrays)
        ]  # fmt: skip
        verdicts[claim.id] = judge(claim, levels)
    return verdicts


def notices(before, after):
    """Whether a verdict is another one, or the measured number is off by half of the amount."""
    if before.verdict != after.verdict or None in (before.measured, after.measured):
        return before.verdict != after.verdict
    return abs(after.measured - before.measured) > AMOUNT / 2 * abs(before.measured)


def said(verdict):
    number = "-" if verdict.measured is None else f"{verdict.measured:.5g}"
    return f"{verdict.verdict}{f', {verdict.sort}' if verdict.sort else ''} ({number})"


def main(names):
    af.enable_x64()
    unmoved = 0
    for study in find_studies(STUDIES):
        if names and study.name not in names:
            continue
        right = whole(study)
        lives = sorted({life for claim in study.claims for life in claim.measures or ()})
        amounts = sorted({AMOUNTS.get(claim.id, AMOUNT) for claim in study.claims})
        for life, amount in [(life, amount) for life in lives for amount in amounts]:
            with wrong([life], amount):
                now = whole(study)
            for claim in (claim for claim in study.claims if claim.control_of is None):
                if life in (claim.measures or ()) and amount == AMOUNTS.get(claim.id, AMOUNT):
                    before, after = right[claim.id], now[claim.id]
                    moved = notices(before, after)
                    unmoved += not moved
                    words = "" if moved else "  DOES NOT MOVE"
                    print(f"| {claim.id} | {life} {amount:+.0%} | {said(before)} | {said(after)} |{words}", flush=True)
        jax.clear_caches()
    print(f"{unmoved} claims do not move")
    return int(unmoved > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
