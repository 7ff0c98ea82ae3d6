"""What a finite attention looks like: numbers of trained heads and of point clouds, without a manifold."""
