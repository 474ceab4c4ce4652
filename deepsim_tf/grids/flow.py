"""From a flow on a solver's grid to the displacement on the fixed image's own grid.

`flow_graph` has the same as TensorFlow operations.
"""

import numpy as np

from deepsim_tf.grids.affine import joined, split
from deepsim_tf.grids.fit import to_grid
from deepsim_tf.grids.sampling import spread


def displacement(flow, fixed_to_grid, grid_to_moving, shape, *, fixed=None):
    """How far the voxels of the fixed image are sent by a flow on another grid.

    Fixed voxel p lies at g = F p on the grid, is sent to g + flow(g), and so to q = G (g + flow(g)) in the moving
    image. With A p as the place of p in the coordinates of q, and G' as the matrix of G, the displacement is

        q - A p = (G F - A) p + G' flow(F p)

    Args:
        flow: (*grid, ndim), displacement in voxels of its grid; beyond it the border's displacement continues.
        fixed_to_grid: F, (ndim + 1, ndim + 1), from voxels of the fixed image to those of the grid.
        grid_to_moving: G, from voxels of the grid to the moving image: to its voxels, or to the world.
        shape: spatial shape of the fixed image.
        fixed: A, from voxels of the fixed image into the coordinates of G. Default: themselves.

    Returns:
        Array (*shape, ndim), float32.
    """
    ndim = flow.shape[-1]
    identity = np.eye(ndim + 1)
    fixed = identity if fixed is None else fixed
    if flow.shape[:-1] == tuple(shape) and all((a == identity).all() for a in (fixed_to_grid, grid_to_moving, fixed)):
        return np.asarray(flow, np.float32)
    vectors = spread(flow, fixed_to_grid, shape) @ split(grid_to_moving)[0].T.astype(np.float32)
    # What remains without any flow: of images without header their places on the grid, and in the world a translation.
    slope, offset = split(grid_to_moving @ fixed_to_grid - fixed)
    negligible = 1e-6 * max(1, np.abs(grid_to_moving).max())
    for component in range(ndim):
        line = np.full([1] * ndim, offset[component])
        for axis, size in enumerate(shape):
            if abs(slope[component, axis]) * size > negligible:
                along = slope[component, axis] * np.arange(size)
                line = line + along.reshape([size if d == axis else 1 for d in range(ndim)])
        vectors[..., component] += line.astype(np.float32)
    return vectors


def flow_on_images(flow, fixed_shape, moving_shape, fit):
    """The flow on the fixed image's own grid, which points into the moving image's own grid.

    `displacement` under the maps by which a fit brought the two images to the flow's grid, which are diagonal.

    Args:
        flow: (*grid, ndim), displacement in voxels of its grid.
        fixed_shape, moving_shape: spatial shapes of the images, which may differ.
        fit: how the images were brought to the flow's grid.

    Returns:
        Array (*fixed_shape, ndim), float32, in voxels of the moving image.
    """
    fixed, moving = (joined(*to_grid(shape, flow.shape[:-1], fit)) for shape in (fixed_shape, moving_shape))
    return displacement(flow, fixed, np.linalg.inv(moving), fixed_shape)
