"""Pseudo-metrics D(x, y): the cost of a query x and a key y, written for one pair of points."""

from attnflow.pseudometrics.base import CustomPseudoMetric, PseudoMetric, check_cost
from attnflow.pseudometrics.plain import DotProduct, SquaredDistance

__all__ = ["CustomPseudoMetric", "DotProduct", "PseudoMetric", "SquaredDistance", "check_cost"]
