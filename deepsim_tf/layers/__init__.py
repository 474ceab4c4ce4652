"""Keras layers of the networks.

The spatial ones are subclasses of VoxelMorph's, with the same constructors and numbers.
"""

from deepsim_tf.layers.integrate import VecInt, integrate
from deepsim_tf.layers.pad import CropLike, EdgePad, padded_size
from deepsim_tf.layers.rescale import LinearUpSampling, RescaleTransform, resize
from deepsim_tf.layers.warp import SpatialTransformer, voxel_grid, warp

__all__ = [
    "CropLike",
    "EdgePad",
    "LinearUpSampling",
    "RescaleTransform",
    "SpatialTransformer",
    "VecInt",
    "integrate",
    "padded_size",
    "resize",
    "voxel_grid",
    "warp",
]
