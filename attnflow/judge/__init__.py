"""What measurements say about claims: rates with intervals, and verdicts."""
