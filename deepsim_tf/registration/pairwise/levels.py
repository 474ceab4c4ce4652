"""From coarse to fine: the grids on which a pair is registered, and its images on them."""

import dataclasses

import numpy as np

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

    def of(self, image):
        """An image (*spatial, channels) on this grid, float32: each voxel is the mean over what it covers."""
        return np.asarray(fit_image(image, self.shape, "resample"), np.float32)


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
