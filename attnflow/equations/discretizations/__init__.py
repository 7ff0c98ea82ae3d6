"""Bases in which differential operators on a manifold become matrices."""
