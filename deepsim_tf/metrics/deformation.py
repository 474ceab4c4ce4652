"""Smoothness of a deformation: its Jacobian determinant, folds, and spread of volume change.

The map is phi(p) = p + flow(p); J is its Jacobian. Derivatives are central differences, one-sided at the border. (The
authors' code takes absolute values of the differences, which hides folds: their figures are not comparable.)

A central difference skips the voxel it is taken at, and so misses folds of one voxel; `non_diffeomorphic_volume` sees
them.
"""

import functools
import itertools
import math

import numpy as np

from deepsim_tf import checks

PLANES = 8  # computed at once by `_digital_determinants`: its arrays then fit a processor's cache


def jacobian_determinant(flow):
    """det J of p + flow(p) at every voxel; 1 keeps volumes, 0 collapses them, below 0 the map folds.

    Args:
        flow: displacement in voxels, (*spatial, ndim), 2-D or 3-D, "ij".

    Returns:
        float64 array (*spatial).

    Raises:
        ValueError: last axis that is not the number of spatial axes, fewer than 2 voxels along one, NaN or infinity.

    Example:
        >>> rows, columns = np.indices((4, 5))
        >>> jacobian_determinant(np.stack([0.5 * rows, 0 * columns], axis=-1))[0].tolist()
        [1.5, 1.5, 1.5, 1.5, 1.5]
    """
    flow = _components_first("jacobian_determinant", flow)
    columns = [np.gradient(flow, axis=d + 1) for d in range(len(flow))]  # columns[d][c] = d flow_c / d p_d
    for d, column in enumerate(columns):
        column[d] += 1
    return _determinant(columns)


def folding_fraction(flow, *, determinant=None):
    """Fraction of voxels with det J <= 0, in [0, 1].

    Args:
        flow: displacement in voxels, (*spatial, ndim); unused, and may be None, where `determinant` is given.
        determinant: what `jacobian_determinant(flow)` gave, (*spatial), where several measures need it.

    Raises:
        ValueError: a flow that `jacobian_determinant` refuses.

    Example:
        >>> folding_fraction(None, determinant=np.array([[1.0, 1.0], [-0.5, 0.0]]))
        0.5
    """
    return float(np.mean(_known_determinant(flow, determinant) <= 0))


def sd_log_jacobian(flow, *, convention="plain", floor=1e-9, determinant=None):
    """Standard deviation over the voxels of the logarithm of det J; 0 for a rigid motion.

        plain:       std log(max(det J, floor))                     over all voxels
        learn2reg:   std log(clip(det J + 3, 1e-9, 1e9))            without the outer 2 voxels on each side

    The two differ several times over: the 3 keeps moderate folds inside the logarithm, and flattens it.

    Args:
        flow: displacement in voxels, (*spatial, ndim); unused, and may be None, where `determinant` is given.
        convention: `"plain"`, or `"learn2reg"` for numbers beside those of the Learn2Reg challenges.
        floor: of the plain convention; folds count as log(floor), so a smaller floor weighs them more.
        determinant: what `jacobian_determinant(flow)` gave, (*spatial), where several measures need it.

    Raises:
        ValueError: an unknown convention, a flow that `jacobian_determinant` refuses, or for Learn2Reg one of fewer
            than 5 voxels a side.

    Example:
        >>> determinant = np.tile([1.0, 1.0, 0.5, 2.0, 1.0, 1.0], (6, 1))
        >>> round(sd_log_jacobian(None, determinant=determinant), 4)
        0.4002
        >>> round(sd_log_jacobian(None, convention="learn2reg", determinant=determinant), 4)
        0.1783

    Reference:
        Hering et al., Learn2Reg, IEEE TMI 42 (2023), and the challenges' evaluation code for the 3 and the crop.
    """
    checks.known("convention", convention, ("plain", "learn2reg"))
    determinant = _known_determinant(flow, determinant)
    if convention == "plain":
        return float(np.std(np.log(np.maximum(determinant, floor))))
    if min(determinant.shape) < 5:
        raise ValueError(
            "Learn2Reg leaves out 2 voxels on each side, which takes 5 a side. Received: a map of shape"
            f" {determinant.shape}."
        )
    inner = determinant[(slice(2, -2),) * determinant.ndim]
    return float(np.std(np.log(np.clip(inner + 3, 1e-9, 1e9))))


def non_diffeomorphic_volume(flow):
    """Volume that the map folds, in percent of the image: NDV, in 2-D the area NDA.

        NDV = 100 / |Omega| sum_p 1/2 sum_k max(-det_k(p), 0) / ndim!

    Between voxel centres the map is linear on triangles (2-D) or tetrahedra (3-D), so a simplex is turned over exactly
    where its determinant is negative, by the volume |det| / ndim!. A square falls into 2 triangles in two ways, a cube
    into 5
    tetrahedra in two ways: the 1/2 averages them. The det_k of voxel p are of all combinations of forward and backward
    differences (4 or 8: the simplices with their right angle at p) and, in 3-D, of the two tetrahedra amid the cubes
    before and behind p. Beyond the border the flow goes on constant. 0 where no simplex folds.

    Args:
        flow: displacement in voxels, (*spatial, ndim), 2-D or 3-D.

    Returns:
        float, in percent; above 100 where folds are larger than the image.

    Raises:
        ValueError: as `jacobian_determinant`.

    Example:
        >>> flow = np.zeros((10, 10, 2))
        >>> flow[4, 5, 0] = 1.5  # beyond its neighbour by half a voxel
        >>> folding_fraction(flow), non_diffeomorphic_volume(flow)
        (0.0, 0.5)

    Reference:
        Liu, Chen, Wei, Carass, Prince: On finite difference Jacobian computation in deformable image registration, IJCV
            132 (2024).
    """
    flow = _components_first("non_diffeomorphic_volume", flow)
    folded = sum(-np.minimum(determinant, 0).sum() for slab in _digital_determinants(flow) for determinant in slab)
    return float(100 * folded / (2 * math.factorial(len(flow))) / flow[0].size)


def non_diffeomorphic_fraction(flow):
    """Fraction of voxels, in [0, 1], one of whose 4 (2-D) or 10 (3-D) determinants is <= 0.

    Stricter than `folding_fraction`; see `non_diffeomorphic_volume` for the determinants, argument, errors and
    reference.

    Example:
        >>> flow = np.zeros((10, 10, 2))
        >>> flow[4, 5, 0] = 1.5  # seen at the voxel that moves and at the neighbour it passes
        >>> non_diffeomorphic_fraction(flow)
        0.02
    """
    flow = _components_first("non_diffeomorphic_fraction", flow)
    bad = sum(np.count_nonzero(functools.reduce(np.minimum, slab) <= 0) for slab in _digital_determinants(flow))
    return float(bad / flow[0].size)


def _components_first(who, flow):
    """(*spatial, ndim) -> (ndim, *spatial) float64, after the checks of a flow."""
    flow = np.asarray(flow, "float64")
    ndim = flow.ndim - 1
    if ndim not in (2, 3) or flow.shape[-1] != ndim or min(flow.shape[:-1]) < 2:
        expected = "one displacement field, (*spatial, ndim), 2-D or 3-D, of at least 2 voxels a side"
        raise ValueError(f"flow must be {expected}. Received: flow.shape={flow.shape}.")
    checks.finite_array(who, flow=flow)
    return np.ascontiguousarray(np.moveaxis(flow, -1, 0))


def _known_determinant(flow, determinant):
    return jacobian_determinant(flow) if determinant is None else np.asarray(determinant)


def _determinant(columns):
    """det of the matrix whose columns are ndim arrays (ndim, *spatial).

    Several times faster than np.linalg.det, a LAPACK call per voxel.
    """
    if len(columns) == 2:
        x, y = columns
        return x[0] * y[1] - x[1] * y[0]
    x, y, z = columns
    return x[0] * (y[1] * z[2] - y[2] * z[1]) + x[1] * (y[2] * z[0] - y[0] * z[2]) + x[2] * (y[0] * z[1] - y[1] * z[0])


def _digital_determinants(flow):
    """For each slab of planes a generator of the 4 or 10 determinants at its voxels; flow (ndim, *spatial)."""
    ndim, size = len(flow), flow.shape[1]
    padded = np.pad(flow, [(0, 0)] + [(1, 1)] * ndim, mode="edge")
    for start in range(0, size, PLANES):
        yield _slab_determinants(padded[:, start : min(start + PLANES, size) + 2])


def _slab_determinants(padded):
    ndim = len(padded)

    def at(offset):  # the flow at p + offset, for all p
        return padded[(slice(None), *(slice(1 + o, n - 1 + o) for o, n in zip(offset, padded.shape[1:], strict=True)))]

    def difference(step, sign):  # of phi along a step of 0s and 1s, forward (1) or backward (-1): (ndim, *slab)
        step = np.array(step)
        return sign * (at(sign * step) - at(0 * step)) + step.reshape(-1, *[1] * ndim)

    both = [[difference(step, sign) for sign in (1, -1)] for step in np.eye(ndim, dtype=int)]
    for columns in itertools.product(*both):
        yield _determinant(columns)
    if ndim == 3:
        diagonals = (
            (1, 1, 0),
            (0, 1, 1),
            (1, 0, 1),
        )  # in this order the identity has det 2, the volume 1/3 of this tetrahedron times 3!
        for sign in (1, -1):
            yield _determinant([difference(step, sign) for step in diagonals])
