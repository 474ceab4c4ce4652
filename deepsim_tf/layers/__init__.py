"""Keras layers of the registration network: subclasses of VoxelMorph's, same constructors and numbers."""

from deepsim_tf.layers.warp import SpatialTransformer, warp

__all__ = ["SpatialTransformer", "warp"]
