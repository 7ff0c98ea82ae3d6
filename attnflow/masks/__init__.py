"""Masks: which keys of a sample a query attends to."""
