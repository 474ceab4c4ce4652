"""Intensity rules by name, in NumPy and as a TensorFlow graph."""
