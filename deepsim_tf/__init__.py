"""Semantic similarity for learned image registration, in Keras."""

from deepsim_tf import _compat  # noqa: F401  (first: it repairs VoxelMorph before anything imports it)

__version__ = "0.1.0"
