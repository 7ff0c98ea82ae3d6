"""Pseudo-metrics D(x, y): the cost of a query x and a key y, written for one pair of points."""
