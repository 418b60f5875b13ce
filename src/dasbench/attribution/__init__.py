"""From features to scores: kernels, transforms, the methods."""
