"""Smoothness of a deformation: its Jacobian determinant, folds, and spread of volume change.

The map is phi(p) = p + flow(p); J is its Jacobian. Derivatives are central differences, one-sided at the border. (The
authors' code takes absolute values of the differences, which hides folds: their figures are not comparable.)
"""

import numpy as np

from deepsim_tf import checks


def jacobian_determinant(flow):
    """det J of p + flow(p) at every voxel; 1 keeps volumes, 0 collapses them, below 0 the map folds.

    Args:
        flow: displacement in voxels, (*spatial, ndim), 2-D or 3-D, "ij".

    Returns:
        float64 array (*spatial).

    Raises:
        ValueError: last axis that is not the number of spatial axes, fewer than 2 voxels along one, NaN or infinity.
    """
    flow = np.asarray(flow, "float64")
    ndim = flow.ndim - 1
    if ndim not in (2, 3) or flow.shape[-1] != ndim or min(flow.shape[:-1]) < 2:
        expected = "one displacement field, (*spatial, ndim), 2-D or 3-D, of at least 2 voxels a side"
        raise ValueError(f"flow must be {expected}. Received: flow.shape={flow.shape}.")
    checks.finite_array("jacobian_determinant", flow=flow)
    # gradients[d][..., c] = d flow_c / d p_d; J = I + (d flow_c / d p_d)
    gradients = np.stack(np.gradient(flow, axis=tuple(range(ndim))), axis=-1)
    return np.linalg.det(gradients + np.eye(ndim))


def folding_fraction(flow):
    """Fraction of voxels with det J <= 0, in [0, 1]; see `jacobian_determinant`."""
    return float(np.mean(jacobian_determinant(flow) <= 0))


def sd_log_jacobian(flow, *, floor=1e-9):
    """Standard deviation over the voxels of log(max(det J, floor)); 0 for a rigid motion. See `jacobian_determinant`."""
    return float(np.std(np.log(np.maximum(jacobian_determinant(flow), floor))))
