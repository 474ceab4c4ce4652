"""Distances between corresponding landmarks."""

import numpy as np

from deepsim_tf.formats import read_landmarks
from deepsim_tf.grids.sampling import sample_at

__all__ = ["read_landmarks", "target_registration_error"]


def target_registration_error(flow, fixed_landmarks, moving_landmarks, *, spacing=None):
    """Distance in mm of each fixed landmark, moved by the flow, from its moving landmark.

        TRE = | spacing * (p + flow(p) - q) |        p in the fixed, q in the moving image

    A flow of zeros gives the error before registration. Between voxels the flow is linear (Learn2Reg's code takes cubic
    splines there; at whole voxels the two agree).

    Args:
        flow: displacement in voxels, (*spatial, ndim), on the fixed image's grid.
        fixed_landmarks, moving_landmarks: (N, ndim), in voxels from 0 at the centre of the first, "ij"; row n of both
            is one point.
        spacing: size of a voxel of the moving image in mm, one number per axis. Default: 1, which gives voxels.

    Returns:
        float64 array (N,), in mm.

    Raises:
        ValueError: a flow, landmarks or a spacing of another form; other than equal counts; NaN; fixed landmarks
            outside the flow's grid.

    Example:
        >>> flow = np.zeros((8, 8, 2))
        >>> flow[..., 1] = 2.0
        >>> target_registration_error(flow, [[3, 3], [5.5, 1]], [[3, 5], [5.5, 7]], spacing=(1.0, 0.5)).tolist()
        [0.0, 2.0]

    Reference:
        Hering et al., Learn2Reg, IEEE TMI 42 (2023).
    """
    flow = np.asarray(flow, "float64")
    ndim = flow.ndim - 1
    if ndim not in (2, 3) or flow.shape[-1] != ndim or flow.size == 0:
        raise ValueError(
            f"flow must be one displacement field, (*spatial, ndim), 2-D or 3-D. Received: flow.shape={flow.shape}."
        )
    fixed, moving = np.asarray(fixed_landmarks, "float64"), np.asarray(moving_landmarks, "float64")
    for name, points in (("fixed_landmarks", fixed), ("moving_landmarks", moving)):
        if points.ndim != 2 or points.shape[1] != ndim:
            raise ValueError(
                f"target_registration_error expects landmarks (N, {ndim}). Received: {name}.shape={points.shape}."
            )
    if len(fixed) != len(moving):
        raise ValueError(
            f"target_registration_error expects as many fixed as moving landmarks. Received: {len(fixed)} and"
            f" {len(moving)}."
        )
    for name, array in (("flow", flow), ("fixed_landmarks", fixed), ("moving_landmarks", moving)):
        if not np.isfinite(array).all():
            found = np.count_nonzero(~np.isfinite(array))
            raise ValueError(
                f"target_registration_error expects finite numbers. Received: {name} with {found} that are NaN or"
                " infinite."
            )
    spacing = np.ones(ndim) if spacing is None else np.asarray(spacing, "float64")
    if spacing.shape != (ndim,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ValueError(
            f"target_registration_error expects a spacing of {ndim} positive numbers in mm. Received:"
            f" spacing={spacing.tolist()}."
        )
    grid = np.array(flow.shape[:-1])
    outside = ((fixed < -0.5) | (fixed > grid - 0.5)).any(axis=1)  # a voxel reaches half a voxel beyond its centre
    if outside.any():
        found = f"{outside.sum()} of {len(fixed)}, the first at {fixed[outside][0].tolist()}"
        raise ValueError(
            f"fixed_landmarks must lie in the flow's grid {tuple(grid.tolist())}, in voxels from 0. Received outside:"
            f" {found}."
        )
    # (N, ndim) + the flow at the landmarks, (N, ndim)
    return np.linalg.norm((fixed + sample_at(flow, fixed) - moving) * spacing, axis=1)
