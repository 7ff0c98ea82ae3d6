"""What measurements say about claims: rates with intervals, kinds of claims, and verdicts."""
