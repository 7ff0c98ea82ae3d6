"""Bandwidths: what error each of them leaves, and which leaves the least."""
