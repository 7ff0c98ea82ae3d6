"""Attention that is trained: data, heads, blocks and their judged statements (extra `learn`)."""
