"""The limit of small bandwidths: differential operators, their matrices and their semigroups."""
