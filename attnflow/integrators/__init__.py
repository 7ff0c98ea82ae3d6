"""How tokens are moved in time: explicit values with a declared order."""
