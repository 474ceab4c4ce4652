"""Images of any size on one grid and flows back, affine maps between voxels, sampling.

Each formula stands in NumPy (`fit`, `flow`, `sampling`) and, under the same names, as TensorFlow operations on batches
(`fit_graph`, `flow_graph`, `sampling_graph`). Images are (*spatial, channels).
"""
