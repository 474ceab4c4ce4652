"""The landmark files of the user's own images: checked against the images, on the grid of the set, and in its pairs."""

import numpy as np

from deepsim_tf.formats import read_landmarks
from deepsim_tf.grids.fit import to_grid


def read_points(rows, headers, shape, fit, found):
    """The landmarks of each row of a CSV file; problems go to `found`, and their rows are left out.

    Args:
        rows: `own.rows.Row`s.
        headers: {Source: Header}; rows of other images are left out without a word, as theirs is said.
        shape: spatial shape of the set.
        fit: how images come to it (`deepsim_tf.grids.fit`), or None.
        found: Problems.

    Returns:
        {line of the row: one (points (N, ndim), spacing in mm) an image}, both on the set's grid.
    """
    points, files, first = {}, {}, None
    for row in rows:
        if not row.landmarks or not all(image in headers for image in row.images):
            continue
        with found.caught():
            if len(row.images) == 1 and files.setdefault(row.images[0], row.landmarks[0]) != row.landmarks[0]:
                listed = f"{row.images[0].listed} is listed with the landmarks {files[row.images[0]]}"
                raise ValueError(f"{listed} and {row.landmarks[0]}. Expected one landmark file for an image.")
            own = [
                _points(file, source.image, headers[source], shape, fit)
                for source, file in zip(row.images, row.landmarks)
            ]
            this = [(file, len(found_points)) for file, (found_points, _) in zip(row.landmarks, own)]
            # Any two images of a list may become a pair, so all of them hold the same points.
            first = first if first and len(own) == 1 else this[0]
            if this[-1][1] != first[1]:
                where = "both: row n of both" if len(own) == 2 else "all images: row n of all"
                received = f"{first[0]} holds {first[1]} landmarks, {this[-1][0]} {this[-1][1]}"
                raise ValueError(f"{received}. Expected as many in {where} is one point.")
            points[row.line] = own
    return points


def landmarks_of_pairs(rows, points, pairs):
    """The function from a pair's number to its landmarks that ImageSet takes; None without landmarks.

    Args:
        rows: the rows of the set: of pairs, one a pair in their order; of images, in the order of the images.
        points: what `read_points` returns.
        pairs: indices (moving, fixed).
    """
    if not points:
        return None
    if rows and len(rows[0].images) == 1:
        images = list(
            {row.images: points[row.line][0] for row in rows}.values()
        )  # an image of two splits is in the set once

        def sides(k):
            return [images[i] for i in pairs[k]]
    else:

        def sides(k):
            return points[rows[k].line]

    def landmarks(k):
        (moving, spacing), (fixed, _) = sides(k)
        return moving, fixed, spacing

    return landmarks


def _points(file, image, header, shape, fit):
    """(points, spacing) of a landmark file on the set's grid."""
    points, ndim = read_landmarks(file), len(header.shape)
    if points.shape[1] != ndim:
        raise ValueError(
            f"{file} holds landmarks of {points.shape[1]} coordinates, {image} has {ndim} axes. Expected one"
            " coordinate an axis."
        )
    _check_inside(
        points,
        header.shape,
        file,
        f"{image} of shape {header.shape}",
        "Expected voxels from 0 in the order of the array's axes, not mm.",
    )
    if fit is None:
        return points, header.spacing
    scale, offset = to_grid(header.shape, shape, fit)
    on_grid = (points * scale + offset).round(9)  # so that a point on the very border stays on it
    _check_inside(
        on_grid,
        shape,
        file,
        f"what shape={tuple(shape)} keeps of {image}",
        "Expected a larger shape (--shape), or landmarks inside it.",
    )
    return on_grid, tuple(np.divide(header.spacing, scale).tolist())


def _check_inside(points, shape, file, what, hint):
    outside = ((points < -0.5) | (points > np.array(shape) - 0.5)).any(
        axis=1
    )  # a voxel reaches half a voxel beyond its centre
    if outside.any():
        raise ValueError(
            f"{file} has {outside.sum()} of {len(points)} landmarks outside {what}, the first in row"
            f" {outside.argmax() + 1}. {hint}"
        )
