"""Attention over measures: sums of kernels over points, of finitely many or of a quadrature."""
