"""From coarse to fine: the grids on which a pair is registered, and its images on them."""

import dataclasses

import numpy as np
import tensorflow as tf

from deepsim_tf.grids.affine import joined
from deepsim_tf.grids.fit import fit_image, to_grid


@dataclasses.dataclass(frozen=True, eq=False)
class Level:
    """A coarser grid over the space that an image covers.

    Attributes:
        shape: spatial shape of the grid.
        to_image: (ndim + 1, ndim + 1), from voxels of the grid to voxels of the image.
    """

    shape: tuple
    to_image: np.ndarray

    def of(self, image, mask=None):
        """An image (*spatial, channels) on this grid, float32: each voxel is the mean over what it covers.

        With the weights of a mask (*spatial), which keep what is masked out of the mean; where there is no weight, the
        plain mean.
        """
        plain = np.asarray(fit_image(image, self.shape, "resample"), np.float32)
        if mask is None:
            return plain
        weights = self.of(mask[..., None])
        weighted = self.of(image * mask[..., None])
        return np.where(weights > 0, weighted / np.maximum(weights, 1e-12), plain).astype(np.float32)

    def of_mask(self, mask):
        """A mask (*spatial) on this grid."""
        return self.of(np.asarray(mask, np.float32)[..., None])[..., 0]


def level_of(shape, spacing, voxel):
    """The Level whose voxels are about `voxel` long on every axis, and never shorter than the image's.

    Args:
        shape: of the image.
        spacing: length of its voxels on each axis.
        voxel: in the unit of `spacing`.
    """
    factors = np.maximum(np.divide(voxel, spacing), 1)
    coarse = tuple(int(n) for n in np.maximum(np.ceil(np.divide(shape, factors) - 1e-6), 1))
    return Level(coarse, np.linalg.inv(joined(*to_grid(shape, coarse, "resample"))))


def tensors_on(images, levels):
    """Images and masks on their grids, each as a batch of one.

    Args:
        images: {"moving", "fixed"}: (*spatial, channels), and optionally "moving_mask", "fixed_mask" (*spatial).
        levels: {"moving", "fixed"}: Level.

    Returns:
        dict of tensors, float32, of the same names.
    """
    found = {}
    for name, level in levels.items():
        mask = images.get(f"{name}_mask")
        found[name] = tf.constant(level.of(images[name], mask)[None])
        if mask is not None:
            found[f"{name}_mask"] = tf.constant(level.of_mask(mask)[None])
    return found
