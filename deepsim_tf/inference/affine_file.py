"""Affine maps of the world as ITK's text transforms, which ANTs, SimpleITK and 3-D Slicer read."""

import numpy as np

from deepsim_tf.grids.affine import split
from deepsim_tf.grids.world import lps
from deepsim_tf.inference.field import PIXELS


def write_affine(affine, path, unit):
    """Write an affine map from points of the fixed to points of the moving image.

    Args:
        affine: (ndim + 1, ndim + 1), in the world (`grids.world`): mm, right - anterior - superior; or pixels, in the
            order of the array's axes.
        path: of the file, `.txt` or `.tfm`.
        unit: "mm", written in ITK's left - posterior - superior; or "pixels", written in ITK's order, column before
            row.
    """
    ndim = len(affine) - 1
    order = np.fliplr(np.eye(ndim)) if unit == PIXELS else np.diag(lps(np.ones(ndim)))
    matrix, offset = split(affine)
    parameters = [*(order @ matrix @ order.T).ravel(), *(order @ offset)]
    lines = [
        "#Insight Transform File V1.0",
        "#Transform 0",
        f"Transform: AffineTransform_double_{ndim}_{ndim}",
        f"Parameters: {' '.join(map(repr, map(float, parameters)))}",
        f"FixedParameters: {' '.join(['0.0'] * ndim)}",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
