"""Ways to solve the drift-diffusion: what answers at rising resolutions, with declared errors."""
