"""Profiles: how the weight of a key falls with its cost, h(s) at s = D / eps."""
