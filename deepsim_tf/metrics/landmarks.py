"""Distances between corresponding landmarks."""

import csv

import numpy as np
from scipy import ndimage

from deepsim_tf import checks

AXES = (("i", "j", "k"), ("x", "y", "z"), ("row", "column"))  # headers that name the axes of the array, in its order


def target_registration_error(flow, fixed_landmarks, moving_landmarks, *, spacing=None):
    """Distance in mm of each fixed landmark, moved by the flow, from its moving landmark.

        TRE = | spacing * (p + flow(p) - q) |        p in the fixed, q in the moving image

    A flow of zeros gives the error before registration. Between voxels the flow is linear (Learn2Reg's code takes cubic
    splines there; at whole voxels the two agree).

    Args:
        flow: displacement in voxels, (*spatial, ndim), on the fixed image's grid.
        fixed_landmarks, moving_landmarks: (N, ndim), in voxels from 0 at the centre of the first, "ij"; row n of both is one point.
        spacing: size of a voxel of the moving image in mm, one number per axis. Default: 1, which gives voxels.

    Returns:
        float64 array (N,), in mm.

    Raises:
        ValueError: a flow, landmarks or a spacing of another form; other than equal counts; NaN; fixed landmarks outside the flow's grid.

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
        raise ValueError(f"flow must be one displacement field, (*spatial, ndim), 2-D or 3-D. Received: flow.shape={flow.shape}.")
    fixed, moving = np.asarray(fixed_landmarks, "float64"), np.asarray(moving_landmarks, "float64")
    for name, points in (("fixed_landmarks", fixed), ("moving_landmarks", moving)):
        if points.ndim != 2 or points.shape[1] != ndim:
            raise ValueError(f"target_registration_error expects landmarks (N, {ndim}). Received: {name}.shape={points.shape}.")
    if len(fixed) != len(moving):
        raise ValueError(f"target_registration_error expects as many fixed as moving landmarks. Received: {len(fixed)} and {len(moving)}.")
    for name, array in (("flow", flow), ("fixed_landmarks", fixed), ("moving_landmarks", moving)):
        if not np.isfinite(array).all():
            found = np.count_nonzero(~np.isfinite(array))
            raise ValueError(f"target_registration_error expects finite numbers. Received: {name} with {found} that are NaN or infinite.")
    spacing = np.ones(ndim) if spacing is None else np.asarray(spacing, "float64")
    if spacing.shape != (ndim,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ValueError(f"target_registration_error expects a spacing of {ndim} positive numbers in mm. Received: spacing={spacing.tolist()}.")
    grid = np.array(flow.shape[:-1])
    outside = ((fixed < -0.5) | (fixed > grid - 0.5)).any(axis=1)  # a voxel reaches half a voxel beyond its centre
    if outside.any():
        found = f"{outside.sum()} of {len(fixed)}, the first at {fixed[outside][0].tolist()}"
        raise ValueError(f"fixed_landmarks must lie in the flow's grid {tuple(grid.tolist())}, in voxels from 0. Received outside: {found}.")
    # (ndim, N): the flow at the landmarks
    displacement = np.stack([ndimage.map_coordinates(flow[..., d], fixed.T, order=1, mode="nearest") for d in range(ndim)], axis=-1)
    return np.linalg.norm((fixed + displacement - moving) * spacing, axis=1)


def read_landmarks(path):
    """Landmarks of a CSV file, a point a row, as Learn2Reg writes them: comma-separated voxel coordinates, from 0, no header.

    The columns are the axes of the image's array, in its order. A header may name them i, j(, k), row, column, or x, y, z (which
    are the array's axes in NIfTI files), in any order and among other columns, such as a number. In 2-D a header x, y is refused:
    x is the column to some programs and the row to others.

    Args:
        path: path of the file, UTF-8.

    Returns:
        float64 array (N, ndim), 2-D or 3-D, in voxels, "ij".

    Raises:
        ValueError: no such file, no points, rows of unequal length, a header without axes, cells that are not finite numbers.

    Example:
        >>> read_landmarks("landmarks_0001.csv").shape  # doctest: +SKIP
        (100, 3)
    """
    checks.existing_file(path, "CSV file of landmarks")
    with open(path, newline="", encoding="utf-8-sig") as file:  # -sig: spreadsheets begin with a byte order mark
        rows = [(number, row) for number, row in enumerate(csv.reader(file), start=1) if any(cell.strip() for cell in row)]
    if not rows:
        raise ValueError(f"Landmarks are rows of 2 or 3 voxel coordinates, separated by commas. Received: {path} without any.")
    columns, ndim = None, len(rows[0][1])
    if not any(_is_number(cell) for cell in rows[0][1]):
        columns, ndim = _axes_of(rows[0][1], path), len(rows[0][1])
        rows = rows[1:]
    elif ndim not in (2, 3):
        hint = "" if ndim > 1 else " Separate them by commas."
        raise ValueError(f"Landmarks without a header are rows of 2 or 3 voxel coordinates. Received: {path} with {ndim} in the first row.{hint}")
    points = []
    for number, row in rows:
        if len(row) != ndim:
            raise ValueError(f"Row {number} of {path} has {len(row)} cells, the first {ndim}. Expected as many in all rows.")
        cells = row if columns is None else [row[column] for column in columns]
        wrong = [cell for cell in cells if not _is_number(cell)]
        if wrong:
            raise ValueError(f"Row {number} of {path} holds {wrong[0]!r}. Expected finite voxel coordinates.")
        points.append([float(cell) for cell in cells])
    if not points:
        raise ValueError(f"{path} holds a header and no landmarks. Expected a row of voxel coordinates for each.")
    return np.array(points)


def _axes_of(header, path):
    """The columns of a header that hold the axes of the array, in its order."""
    names = [cell.strip().lower() for cell in header]
    if "x" in names and "y" in names and "z" not in names:
        raise ValueError(f"{path} names its columns x, y, which some programs write as column, row. Name them row, column (or i, j).")
    for axes in AXES:
        present = [name for name in axes if name in names]
        if len(present) >= 2 and present == list(axes[: len(present)]):
            return [names.index(name) for name in present]
    expected = "columns i, j(, k) or row, column or x, y, z, separated by commas, or none"
    raise ValueError(f"Expected a header with the {expected}. Received: {path} with {', '.join(header)}.")


def _is_number(cell):
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
