"""How fast and how exact kernel sums are on this machine: every method, beside NumPy, KeOps and torch."""
