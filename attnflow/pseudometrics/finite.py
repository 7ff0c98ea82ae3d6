"""Whether a cost is finite for every pair of points, and so are its derivatives, as its program tells."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal

from attnflow._reads import INLINED, SHAPING
from attnflow._tracing import is_traced
from attnflow.pseudometrics.base import PseudoMetric

_FINITE = {
    *["abs", "add", "add_any", "copy", "cos", "dot_general", "erf", "integer_pow", "logistic", "max", "min", "mul"],
    *["neg", "reduce_max", "reduce_min", "reduce_sum", "sign", "sin", "square", "sub", "tanh", *SHAPING],
}


def is_finite(cost: PseudoMetric, *, dim: int, dtype: Any) -> bool:
    """Return whether a cost is made of steps alone that are finite, with their derivatives, wherever numbers are.

    Sums, products and bounded functions are; a quotient, a root, a logarithm, an exponential or a case may not be.

    Args:
        cost: D.
        dim: of points.
        dtype: of their coordinates.
    """
    point = jax.ShapeDtypeStruct((dim,), dtype)
    return _is_finite(jax.make_jaxpr(cost)(point, point))


def _is_finite(program: ClosedJaxpr) -> bool:
    known = [*program.consts, *(atom.val for atom in program.jaxpr.outvars if isinstance(atom, Literal))]
    return all(is_traced(number) or np.isfinite(number).all() for number in known) and all(
        map(_is_finite_step, program.jaxpr.eqns)
    )


def _is_finite_step(eqn: JaxprEqn) -> bool:
    name, params = eqn.primitive.name, eqn.params
    if not all(np.isfinite(atom.val) for atom in eqn.invars if isinstance(atom, Literal)):
        return False
    if name in INLINED:
        return _is_finite(params["jaxpr" if "jaxpr" in params else "call_jaxpr"])
    if name == "div":  # as in a mean
        return isinstance(eqn.invars[1], Literal) and bool(eqn.invars[1].val)
    return name in _FINITE and params.get("y", 0) >= 0  # the power
