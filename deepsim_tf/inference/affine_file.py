"""Affine maps of the world as ITK's text transforms, which ANTs, SimpleITK and 3-D Slicer read."""

import numpy as np

from deepsim_tf.grids.affine import split
from deepsim_tf.grids.world import lps


def write_affine(affine, path):
    """Write an affine map from points of the fixed to points of the moving image.

    Args:
        affine: (ndim + 1, ndim + 1), in the world (`grids.world`), mm or pixels. In the file it is in ITK's left -
            posterior - superior, or in ITK's order of pixels, column before row.
        path: of the file, `.txt` or `.tfm`.
    """
    ndim = len(affine) - 1
    to_itk = np.diag(lps(np.ones(ndim)))
    matrix, offset = split(affine)
    parameters = [*(to_itk @ matrix @ to_itk).ravel(), *(to_itk @ offset)]
    lines = [
        "#Insight Transform File V1.0",
        "#Transform 0",
        f"Transform: AffineTransform_double_{ndim}_{ndim}",
        f"Parameters: {' '.join(map(repr, map(float, parameters)))}",
        f"FixedParameters: {' '.join(['0.0'] * ndim)}",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
