"""Images of any size on one grid and flows back, affine maps between voxels, sampling: in NumPy, and as a TensorFlow graph."""
