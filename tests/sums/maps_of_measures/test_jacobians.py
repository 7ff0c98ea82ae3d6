"""Norms of Jacobians: against finite differences, dense derivatives and the configuration that is the worst."""

import pickle

import numpy as np
import pytest
import scipy.optimize

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.sums.maps_of_measures import jacobians

RNG = np.random.default_rng(3)
TOKENS = RNG.normal(size=(6, 2))
VALUE, QUERY, KEY, FIRST, SECOND = RNG.normal(size=(5, 2, 2))
PLAIN = af.Attention(af.QueryKey(QUERY, KEY), bandwidth=0.7)
ATTENTIONS = {
    "softmax": PLAIN,
    "distance": af.Attention(af.QueryKeyDistance(QUERY, KEY), bandwidth=0.9),
    "compact": af.Attention(af.SquaredDistance(), bandwidth=1.5, profile="compact"),
    "unnormalized": af.Attention(af.SquaredDistance(), bandwidth=0.5, normalization="unnormalized"),
    "sigmoid": af.Attention(af.DotProduct(), bandwidth=0.5, normalization=af.Sigmoid(0.3)),
    "sinkhorn": af.Attention(af.SquaredDistance(), bandwidth=0.8, normalization="sinkhorn"),
    "two heads": af.MultiHead([PLAIN, PLAIN.replace(pseudometric=af.DotProduct())], output=[FIRST, SECOND]),
}


def by_differences(flow, tokens, *, step=1e-3):
    """The Jacobian (N D, N D) of velocities by central differences of fourth order."""
    columns = []
    for place in range(tokens.size):
        move = np.zeros(tokens.size)
        move[place] = step
        move = move.reshape(tokens.shape)
        near, far = (flow.velocity(tokens + k * move) - flow.velocity(tokens - k * move) for k in (1, 2))
        columns.append(((8 * near - far) / (12 * step)).ravel())
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_norms_are_those_of_the_jacobian_of_velocities(name):
    flow = af.TokenFlow(ATTENTIONS[name], value=VALUE, centred=name == "softmax", rtol=1e-12)
    dense = by_differences(flow, TOKENS)
    # Differences of fourth order are off by h^4 times fifth derivatives, and by rounding over h: 1e-12 to 1e-10 each;
    # a compact profile has a third derivative that jumps.
    tolerance = 1e-6 if name == "compact" else 1e-8
    for order, norm in ((2, np.linalg.norm(dense, 2)), (np.inf, np.abs(dense).sum(axis=1).max())):
        assert af.jacobian_norm(flow, TOKENS, order=order) == pytest.approx(norm, rel=tolerance)


def test_lanczos_rows_and_backward_layers_find_one_jacobian(monkeypatch):
    flow = af.TokenFlow(PLAIN, value=VALUE)
    held, rows = af.jacobian_norm(flow, TOKENS), af.jacobian_norm(flow, TOKENS, order=np.inf)
    monkeypatch.setattr(jacobians, "HELD_ROWS", 1)
    monkeypatch.setattr(jacobians, "COUPLED_ROWS", 1)
    lanczos = af.jacobian_norm(flow, TOKENS, rtol=1e-12)
    assert abs(lanczos - held) <= lanczos.solver_error + held.solver_error
    assert lanczos.solver_error < 1e-10 * held
    monkeypatch.setattr(jacobians, "UNCOUPLED", ())
    assert af.jacobian_norm(flow, TOKENS, order=np.inf) == pytest.approx(rows, rel=1e-12)  # to rounding


def test_a_token_of_mass_two_is_two_that_move_together():
    flow = af.TokenFlow(PLAIN, value=VALUE)
    weights = np.array([2.0, 1.0, 1.0, 3.0, 1.0, 1.0])
    heavy = af.jacobian_norm(flow, af.DiscreteMeasure(TOKENS, weights))
    many = np.repeat(np.arange(6), weights.astype(int))
    dense = by_differences(flow, TOKENS[many])
    together = np.zeros((9, 6))
    together[np.arange(9), many] = 1 / np.sqrt(weights[many])  # orthonormal moves
    together = np.kron(together, np.eye(2))
    assert heavy == pytest.approx(np.linalg.norm(together.T @ dense @ together, 2), rel=1e-8)  # as above
    assert heavy <= np.linalg.norm(dense, 2) * (1 + 1e-9)
    without = af.DiscreteMeasure(np.vstack([TOKENS, [[9.0, 9.0]]]), np.append(weights, 0.0))
    assert af.jacobian_norm(flow, without) == pytest.approx(heavy, rel=1e-14)


def worst_of_kim(count):
    """One token at 0 and half of the rest at either side, and the largest row sum there and the bound [K]."""
    c = scipy.optimize.brentq(lambda x: x * np.exp(x + 1) - (count - 1), 0.0, 50.0, xtol=1e-14)
    side = np.sqrt(1 + c)
    half = (count - 1) // 2
    tokens = np.concatenate([[0.0], np.full(half, side), np.full(half, -side)])[:, None]
    return tokens, 4 * c + 1 - 2 * c / (1 + c), 4 * c + 1


@pytest.mark.parametrize("count", [3, 101, 3001])
def test_tied_l2_attention_attains_what_it_can_and_stays_below_its_bound(count):
    tokens, attained, bound = worst_of_kim(count)
    flow = af.TokenFlow(af.Attention(af.SquaredDistance(), bandwidth=0.5))  # kernel e^{-|x - y|^2}
    norm = af.jacobian_norm(flow, tokens, order=np.inf)
    assert norm == pytest.approx(attained, rel=1e-12)  # a closed form; 3001 rows are summed in blocks
    assert norm < bound


def test_no_configuration_exceeds_the_bound_of_l2_attention_and_dot_products_have_none():
    flow = af.TokenFlow(af.Attention(af.SquaredDistance(), bandwidth=0.5))
    dots = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=0.5))
    bound = worst_of_kim(9)[2]
    rng = np.random.default_rng(0)
    found = [af.jacobian_norm(flow, rng.normal(size=(9, 1)) * 2, order=np.inf) for _ in range(100)]
    assert max(found) < bound
    assert max(found) > 0.6 * bound  # the search comes near enough to have noticed a bound that is half as large
    wide = np.append(0.0, np.full(8, 10.0) * np.resize([1.0, -1.0], 8))[:, None]
    assert af.jacobian_norm(dots, wide, order=np.inf) > 20 * bound


def test_what_has_no_jacobian_is_refused_by_name():
    flow = af.TokenFlow(PLAIN, value=VALUE)
    with pytest.raises(ConfigError, match=r"`order` must be 2 or np\.inf, got 1"):
        af.jacobian_norm(flow, TOKENS, order=1)
    with pytest.raises(ConfigError, match="`flow` must be a TokenFlow, got Attention"):
        af.jacobian_norm(PLAIN, TOKENS)
    with pytest.raises(DataError, match=r"`flow` acts on 2 coordinates, got tokens of 1. Pass tokens \(N, 2\)"):
        af.jacobian_norm(flow, TOKENS[:, :1])
    with pytest.raises(ConfigError, match="it has a mask"):
        af.jacobian_norm(af.TokenFlow(PLAIN.replace(mask="causal")), TOKENS)
    with pytest.raises(ConfigError, match="`rtol` must be between 0 and 1"):
        af.jacobian_norm(flow, RNG.normal(size=(300, 2)), rtol=0.0)


def test_a_jacobian_that_overflows_is_named():
    far = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=0.001, normalization="unnormalized"))
    for order in (2, np.inf):
        with pytest.raises(ConvergenceError, match="the Jacobian is not finite: key weights do not settle, or"):
            af.jacobian_norm(far, TOKENS, order=order)


def test_lanczos_that_does_not_settle_is_named(monkeypatch):
    def gives_up(*_, **__):
        raise jacobians.ArpackNoConvergence("no convergence", np.empty(0), np.empty((0, 0)))

    monkeypatch.setattr(jacobians, "HELD_ROWS", 1)
    monkeypatch.setattr(jacobians, "COUPLED_ROWS", 1)
    monkeypatch.setattr(jacobians, "eigsh", gives_up)
    with pytest.raises(ConvergenceError, match="Lanczos does not find the norm of the Jacobian of 6 tokens"):
        af.jacobian_norm(af.TokenFlow(PLAIN), TOKENS)


def test_a_layer_that_is_constant_has_no_norm_however_many_tokens(monkeypatch):
    monkeypatch.setattr(jacobians, "HELD_ROWS", 1)
    monkeypatch.setattr(jacobians, "COUPLED_ROWS", 1)
    assert af.jacobian_norm(af.TokenFlow(PLAIN, value=0.0), TOKENS) == 0.0


def test_a_norm_prints_its_error_and_survives_a_pickle():
    norm = af.jacobian_norm(af.TokenFlow(PLAIN), TOKENS)
    assert repr(norm) == f"{float(norm):.10g} (+- {norm.solver_error:.1g})"
    copied = pickle.loads(pickle.dumps(norm))
    assert (copied, copied.solver_error) == (norm, norm.solver_error)
