"""Tokens that move: the operator is made anew from where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from attnflow._checkpoints import Checkpoint
from attnflow._checks import check_flag, check_tolerance, check_value
from attnflow._tracing import is_traced
from attnflow._words import in_brief
from attnflow.attention import Attending, check_attention
from attnflow.errors import ConfigError, DataError
from attnflow.integrators.adaptive import Adaptive
from attnflow.integrators.base import Integrator
from attnflow.manifolds.base import Manifold
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.precision import require_x64
from attnflow.sums.token_neighbours import warn_of_pairs
from attnflow.sums.token_velocities import TokenMotion
from attnflow.trajectories import TokenTrajectory, Trajectory


class TokenFlow:
    """Tokens that attend to one another and move, self-interacting particles [Sk, G].

        dx_i/dt = P_x V (A_mu id)(x_i),   mu = sum_j w_j delta_{x_j},  sum_j w_j = 1,

    A_mu the attention over the tokens as they are now, P_x the projection on the tangent space of the manifold, none in
    space. Centred, it is P_x V (A_mu id - id)(x_i). Of several heads sum_h (A_h x) W_h takes the place of A x.

    Args:
        attention: one attention or a MultiHead whose outputs have D components. Softmax is the self-attention of the
            papers; "unnormalized" is a mean over mu. The logit beta <x, y> is DotProduct() at bandwidth 1/beta.
        value: V, a number or a matrix (D, D) that acts on columns: velocities are rows y V'.
        manifold: on which the tokens stay; None for R^D.
        centred: whether the token itself is subtracted.
        rtol: tolerance of one layer, relative to the largest coordinate.

    Raises:
        ConfigError: if the manifold has a boundary, at which tokens would pile up, or an option is unknown.
        DataError: if the value matrix does not fit the manifold or the heads.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> attention = af.Attention(af.DotProduct(), bandwidth=0.5)
        >>> flow = af.TokenFlow(attention, manifold=af.Circle())
        >>> moved = flow.evolve([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], times=[0.0, 30.0])
        >>> bool(np.ptp(moved.points[-1], axis=0).max() < 1e-5)  # one cluster
        True
    """

    def __init__(
        self, attention: Attending, value: object = 1.0, *, manifold: Manifold | None = None, centred: bool = False,
        rtol: float = 1e-10,
    ) -> None:  # fmt: skip
        require_x64()
        self.attention = check_attention(attention)
        self.value = check_value(value)
        if not (manifold is None or isinstance(manifold, Manifold)):
            raise ConfigError(
                f"`manifold` must be a Manifold or None, got {type(manifold).__name__}. Pass af.Sphere(2), or None for "
                "tokens in space."
            )
        if manifold is not None and manifold.has_boundary:
            raise ConfigError(
                f"`manifold` = {manifold!r} has a boundary, and velocities point across it: no flow stays inside. Take "
                "one without, or manifold=None."
            )
        self.manifold = manifold
        self.centred = check_flag(centred, "centred")
        self.rtol = check_tolerance(rtol, "rtol")
        if manifold is not None:
            self._check_dim(manifold.ambient_dim)

    def __repr__(self) -> str:
        words = [repr(self.attention), f"value={in_brief(self.value)}"]
        words += [] if self.manifold is None else [f"manifold={self.manifold!r}"]
        words += ["centred=True"] if self.centred else []
        return f"TokenFlow({', '.join(words)})"

    def velocity(self, tokens: object, at: object = None) -> np.ndarray:
        """Return the velocities P_x V (A_mu id)(x), or P_x V (A_mu id - x), at the tokens or at other points.

        Args:
            tokens: shape (N, D), or a DiscreteMeasure, whose masses are divided by their sum.
            at: points of the manifold, shape (Q, D); None for the tokens.

        Returns:
            (N, D), or (Q, D).

        Raises:
            ConfigError: if there are fewer than two tokens.
            DataError: if tokens are not on the manifold, or V does not fit them.
        """
        measure = self._tokens(tokens, "tokens")
        queries = None if at is None else self._points(as_measure(at, "at", ambient_dim=measure.ambient_dim), "at")
        motion = self._motion(measure, weights=None)
        return motion.velocity(measure.points, motion.masses, queries)

    def evolve(
        self, tokens: object, times: object, integrator: Integrator | None = None, *,
        checkpoint: Path | str | None = None,
    ) -> TokenTrajectory:  # fmt: skip
        """Return where the tokens are at the times, from time 0.

        Args:
            tokens: shape (N, D), or a DiscreteMeasure.
            times: one or several; whole numbers of steps where the integrator has them.
            integrator: Adaptive(rtol=1e-8), unless another is given.
            checkpoint: a folder in which the evolution keeps, every half minute, what it has reached. The same call
                goes on from there if it was killed, and ends with the same bytes; then the file is removed. It costs
                one more velocity at the start, by which the file is known. In a study `af.scratch_folder()`.

        Returns:
            A TokenTrajectory, with the masses of a DiscreteMeasure as weights.

        Raises:
            ConfigError: as in `velocity`, or if a time is not a whole number of steps, or the folder does not exist.
            ResultFileError: if a checkpoint cannot be written.
            ConvergenceError: if tokens overflow or steps become too short; the states until then are its attribute
                `trajectory`.

        A RuntimeWarning tells where a hundred tokens or more see fewer than five others each, at the start or the end.
        """
        integrator = Adaptive() if integrator is None else integrator
        if not isinstance(integrator, Integrator):
            raise ConfigError(
                f"`integrator` must be an integrator such as Adaptive() or Layer(0.1), got {type(integrator).__name__}."
            )
        measure = self._tokens(tokens, "tokens")
        weights = measure.masses if isinstance(tokens, DiscreteMeasure) else None
        warn_of_pairs(self.attention, measure.points, measure.masses, time=0.0)
        kept = Checkpoint(checkpoint, lambda: self._determining(measure, times, integrator))
        moved = integrator.solve(self._motion(measure, weights=weights), np.array(measure.points), times, kept)
        kept.remove()
        last = int(np.argmax(moved.times))
        if moved.times[last] > 0:
            warn_of_pairs(self.attention, moved.points[last], measure.masses, time=moved.times[last])
        return moved

    def _determining(self, measure: DiscreteMeasure, times: object, integrator: Integrator) -> list:
        """Return what an evolution depends on; velocities at its start tell costs apart that have one name."""
        start = self.velocity(measure)
        words = [repr(self), repr(integrator), repr(self.rtol)]
        return [words, np.asarray(times, float), measure.points, measure.masses, start, self.value, self.attention]

    def _motion(self, measure: DiscreteMeasure, *, weights: np.ndarray | None) -> TokenMotion:
        return TokenMotion(
            self.attention, value=self.value, manifold=self.manifold, centred=self.centred, rtol=self.rtol,
            tokens=measure, weights=weights,
        )  # fmt: skip

    def _tokens(self, tokens: object, name: str) -> DiscreteMeasure:
        if isinstance(tokens, TokenTrajectory | Trajectory):
            remedy = (
                "its tokens at one time, such as `moved.points[-1]`" if isinstance(tokens, TokenTrajectory)
                else "points, or, of a density, DiscreteMeasure(points, values * weights)"
            )  # fmt: skip
            raise DataError(f"`{name}` must be tokens (N, D), got a {type(tokens).__name__}. Pass {remedy}.")
        measure = as_measure(tokens, name)
        if len(measure) < 2:
            raise ConfigError(f"`{name}` must hold at least 2 tokens, got {len(measure)}.")
        self._check_dim(measure.ambient_dim)
        self._points(measure, name)
        return measure

    def _points(self, measure: DiscreteMeasure, name: str) -> np.ndarray:
        if is_traced(measure.points, measure.masses):
            raise ConfigError(
                f"`{name}` cannot be traced by JAX: tokens move outside of jit and grad. Trace a layer of "
                "EmpiricalAttention, or take `jacobian_norm`."
            )
        return measure.points if self.manifold is None else self.manifold.check(measure.points, name)

    def _check_dim(self, dim: int) -> None:
        check_value(self.value, dim)
        self.attention.check_mixes(dim)
