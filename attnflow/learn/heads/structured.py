"""Implicit kernels of several heads that share a part of their spectra."""

from __future__ import annotations

import jax

from attnflow._checks import check_integer
from attnflow.learn.heads.implicit import ImplicitKernel
from attnflow.learn.heads.spectra import SharedFactor


class StructuredKernels(ImplicitKernel):
    """Implicit kernels whose frequencies are w_hr = c_r w^own_hr, coordinate by coordinate, c_r shared by all heads.

    [S] joins the spectra of heads by a copula; here they are joined by a factor c_r = 1 + B tanh(A z_r + a) of normal
    numbers z_r, see SharedFactor, which starts at one. Without it, `shared=0`, these are independent heads, number by
    number. A shared hidden unit has as many parameters as one more hidden unit of one head, 2k + 1: the kinds are
    compared at equal parameters if `shared` is what all heads together have less.

    Args:
        dim: D, of the tokens.
        shared: width of the hidden layer of the factor; 0 for none.
        heads, features, frequencies, hidden, stationary, norm, key: as of ImplicitKernel.

    Raises:
        ConfigError: if `shared` is no integer or negative, or as ImplicitKernel.

    Example:
        >>> import jax, attnflow as af
        >>> structured = af.learn.StructuredKernels(3, shared=8, heads=4, hidden=6, key=jax.random.key(0))
        >>> independent = af.learn.ImplicitKernel(3, heads=4, hidden=8, key=jax.random.key(0))
        >>> af.learn.parameter_count(structured) == af.learn.parameter_count(independent)
        True
    """

    factor: SharedFactor | None

    def __init__(
        self, dim: int, *, shared: int, heads: int = 1, features: int | None = None, frequencies: int = 64,
        hidden: int | None = None, stationary: bool = True, norm: float | None = None, key: jax.Array,
    ) -> None:  # fmt: skip
        super().__init__(
            dim, heads=heads, features=features, frequencies=frequencies, hidden=hidden,
            stationary=stationary, norm=norm, key=key,
        )  # fmt: skip
        _, count, features = self.spectra[0].draws.shape
        width = check_integer(shared, "shared", minimum=0)
        self.factor = SharedFactor(features, width, count=count, key=jax.random.fold_in(key, 0)) if width else None

    def frequencies(self) -> jax.Array:
        """Return the frequencies (H, 1 or 2, R, k), two of them in pairs."""
        own = super().frequencies()
        return own if self.factor is None else own * self.factor.factors()
