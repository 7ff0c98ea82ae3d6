"""Averages that JAX can differentiate, in the memory of a layer."""
