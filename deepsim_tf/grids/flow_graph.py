"""From a flow on a solver's grid to the displacement on the fixed images' own grid, as TensorFlow operations.

`deepsim_tf.grids.flow` for a batch, and for maps without rotation: those of images without header, which are all that
a served model sees. Sizes are known when the graph runs, and so are tensors here.
"""

import tensorflow as tf

from deepsim_tf.grids.fit_graph import to_grid
from deepsim_tf.grids.sampling_graph import interpolate_axis


def displacement(flow, fixed_to_grid, grid_to_moving, size):
    """How far the voxels of the fixed images are sent by a flow on another grid; see `grids.flow.displacement`.

    Args:
        flow: tensor (batch, *grid, ndim), displacement in voxels of its grid.
        fixed_to_grid, grid_to_moving: each (scale, offset), tensors (ndim,), float64: F x = scale x + offset.
        size: integer tensor (ndim,), spatial size of the fixed images.

    Returns:
        Tensor (batch, *size, ndim), in voxels of the moving images.
    """
    ndim = flow.shape[-1]
    (scale_f, offset_f), (scale_g, offset_g) = fixed_to_grid, grid_to_moving
    lines = [tf.cast(tf.range(size[axis]), tf.float64) for axis in range(ndim)]
    for axis, line in enumerate(lines):
        flow = interpolate_axis(flow, scale_f[axis] * line + offset_f[axis], axis + 1)
    # (G F - 1) p + G' flow(F p), of which each component depends on one axis of p
    slope, offset = scale_g * scale_f - 1, scale_g * offset_f + offset_g
    components = []
    for axis, (component, line) in enumerate(zip(tf.unstack(flow, axis=-1), lines, strict=True)):
        shift = tf.reshape(slope[axis] * line + offset[axis], [-1 if d == axis else 1 for d in range(ndim)])
        components.append(tf.cast(scale_g[axis], flow.dtype) * component + tf.cast(shift, flow.dtype))
    return tf.stack(components, axis=-1)


def flow_on_images(flow, fixed_size, moving_size, fit):
    """The flow on the fixed images' own grid, into the moving images' own; see `grids.flow.flow_on_images`.

    Args:
        flow: tensor (batch, *grid, ndim), displacement in voxels of its grid.
        fixed_size, moving_size: integer tensors (ndim,), spatial sizes of the images.
        fit: how the images were brought to the grid.

    Returns:
        Tensor (batch, *fixed_size, ndim), in voxels of the moving images.
    """
    fixed, (scale, offset) = (to_grid(size, flow.shape[1:-1], fit) for size in (fixed_size, moving_size))
    return displacement(flow, fixed, (1 / scale, -offset / scale), fixed_size)
