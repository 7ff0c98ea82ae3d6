"""Random features: kernels that are given by what frequencies they are made of."""
