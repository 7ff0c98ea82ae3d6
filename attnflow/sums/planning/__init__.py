"""Which kernel sum is predicted to be the fastest, and what it costs."""
