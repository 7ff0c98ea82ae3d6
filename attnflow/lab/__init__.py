"""Studies: what is measured, run, kept, judged, drawn and reported."""
