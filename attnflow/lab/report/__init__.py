"""The report: one page of all claims, and the table of claims."""
