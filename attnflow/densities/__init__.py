"""Probability densities p with respect to the volume of a manifold: evaluated, integrated against, sampled."""
