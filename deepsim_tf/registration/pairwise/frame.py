"""Where two images lie."""

import dataclasses

import numpy as np

from deepsim_tf.grids.affine import joined, voxel_sizes


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """Where two images lie, and the world units in which an affine map between them is worked out.

    Attributes:
        fixed_shape, moving_shape: spatial shapes, tuples.
        spacing: length of the fixed image's voxels on each axis, an array.
        placement: (ndim + 1, ndim + 1), from voxels of fixed to voxels of moving, before any registration.
    """

    fixed_shape: tuple
    moving_shape: tuple
    spacing: np.ndarray
    placement: np.ndarray

    @property
    def ndim(self):
        """Number of spatial axes."""
        return len(self.fixed_shape)

    @property
    def to_world(self):
        """From fixed voxels to world units around the centre of the fixed image."""
        return joined(self.spacing, -self.spacing * (np.array(self.fixed_shape) - 1) / 2)

    @property
    def extent(self):
        """Size of the fixed field of view in world units, (ndim,)."""
        return self.spacing * self.fixed_shape

    @property
    def radius(self):
        """World units from the centre to a face of the fixed field of view: the mean over the axes."""
        return float(self.extent.mean() / 2)

    @property
    def moving_spacing(self):
        """Length of the moving image's voxels in world units of the fixed one."""
        return voxel_sizes(self.to_world @ np.linalg.inv(self.placement))


def frame_of(pair):
    """The Frame of a `Pair`: where it says nothing, the centres of both images coincide, and voxels have length 1."""
    moving_shape, fixed_shape = (tuple(image.shape[1:-1]) for image in (pair.moving, pair.fixed))
    ndim, placement = len(fixed_shape), pair.placement
    if placement is None:
        placement = joined(np.eye(ndim), (np.array(moving_shape) - np.array(fixed_shape)) / 2)
    spacing = np.ones(ndim) if pair.spacing is None else pair.spacing
    return Frame(fixed_shape, moving_shape, np.asarray(spacing, float), np.asarray(placement, float))
