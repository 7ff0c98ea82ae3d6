"""Attention of several heads whose parameters are learned: one kind per file."""
