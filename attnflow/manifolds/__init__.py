"""Manifolds M embedded in R^D, described by local charts around any point."""
