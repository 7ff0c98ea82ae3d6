"""The semigroup e^{tL} of an operator."""
