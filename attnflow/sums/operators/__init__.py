"""One layer as an operator on the values at the points of a measure."""
