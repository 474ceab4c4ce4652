"""Images of any size on one grid and flows back, affine maps between voxels, sampling.

In NumPy, and as a TensorFlow graph.
"""
