"""Normalisations: which potential of the keys is added to the logits before every row is divided by its sum."""
