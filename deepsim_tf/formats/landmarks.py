"""Landmarks: points of an image, in a CSV file."""

import csv

import numpy as np

from deepsim_tf import checks

AXES = (("i", "j", "k"), ("x", "y", "z"), ("row", "column"))  # headers that name the axes of the array, in its order


def read_landmarks(path):
    """Landmarks of a CSV file, a point a row, as Learn2Reg writes them.

    Comma-separated voxel coordinates, from 0, no header.

    The columns are the axes of the image's array, in its order. A header may name them i, j(, k), row, column, or x, y,
    z (which are the array's axes in NIfTI files), in any order and among other columns, such as a number. In 2-D a
    header x, y is refused: x is the column to some programs and the row to others.

    Args:
        path: path of the file, UTF-8.

    Returns:
        float64 array (N, ndim), 2-D or 3-D, in voxels, "ij".

    Raises:
        ValueError: no such file, no text, no points, rows of unequal length, a header without axes, cells that are not
            finite numbers.

    Example:
        >>> read_landmarks("landmarks_0001.csv").shape  # doctest: +SKIP
        (100, 3)
    """
    checks.existing_file(path, "CSV file of landmarks")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # -sig: spreadsheets begin with a byte order mark
            rows = [
                (number, row)
                for number, row in enumerate(csv.reader(file), start=1)
                if any(cell.strip() for cell in row)
            ]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise ValueError(
            f"Cannot read {path}: expected landmarks as a CSV file in UTF-8. Is it one? ({error})"
        ) from None
    if not rows:
        raise ValueError(
            f"Landmarks are rows of 2 or 3 voxel coordinates, separated by commas. Received: {path} without any."
        )
    columns, ndim = None, len(rows[0][1])
    if not any(_is_number(cell) for cell in rows[0][1]):
        columns, ndim = _axes_of(rows[0][1], path), len(rows[0][1])
        rows = rows[1:]
    elif ndim not in (2, 3):
        hint = "" if ndim > 1 else " Separate them by commas."
        raise ValueError(
            f"Landmarks without a header are rows of 2 or 3 voxel coordinates. Received: {path} with {ndim} in the"
            f" first row.{hint}"
        )
    points = []
    for number, row in rows:
        if len(row) != ndim:
            raise ValueError(
                f"Row {number} of {path} has {len(row)} cells, the first {ndim}. Expected as many in all rows."
            )
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
        raise ValueError(
            f"{path} names its columns x, y, which some programs write as column, row. Name them row, column (or i, j)."
        )
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
