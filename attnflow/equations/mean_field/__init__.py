"""Infinitely many tokens that move: the continuity equation of attention."""
