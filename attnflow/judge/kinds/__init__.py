"""The kinds of claims: one file for each says everything that depends on the kind; `KINDS` in claims.py lists them."""
