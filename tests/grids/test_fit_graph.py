"""Fitting images to a grid, and flows back, as TensorFlow operations.

Against scikit-image and SciPy (deepsim_tf.grids.fit).
"""

import deepsim_tf as ds  # noqa: F401  isort: skip
import numpy as np
import pytest
import tensorflow as tf
from exports import raw

from deepsim_tf.grids import fit as grids
from deepsim_tf.grids.fit_graph import fit_images, flow_on_images

FITS = ["pad", "pad:2", "pad:3", "resample"]
SIZES = [  # (image, grid): smaller, larger, a multiple, odd, equal
    ((9, 14), (16, 20)),
    ((61, 47), (16, 20)),
    ((48, 60), (16, 20)),
    ((33, 20), (16, 20)),
    ((16, 20), (16, 20)),
    ((13, 8, 21), (8, 10, 6)),
]


@pytest.mark.parametrize("fit", FITS)
def test_images_of_any_size_come_to_the_grid_as_in_training(fit):
    for size, grid in SIZES:
        images = raw(size, 2) / 4095
        fitted = tf.function(
            lambda x, grid=grid: fit_images(x, grid, fit),
            input_signature=[tf.TensorSpec([None] * (len(size) + 1) + [1])],
        )(images)
        np.testing.assert_allclose(fitted, [grids.fit_image(image, grid, fit) for image in images], atol=1e-5)


@pytest.mark.parametrize("fit", FITS)
def test_flows_come_back_to_images_of_any_sizes(rng, fit):
    for (fixed, grid), moving in zip(
        SIZES, [(12, 30), (61, 47), (16, 20), (50, 50), (16, 20), (20, 9, 6)], strict=True
    ):
        flow = rng.uniform(-3, 3, (2, *grid, len(grid))).astype("float32")
        back = flow_on_images(tf.constant(flow), tf.constant(fixed), tf.constant(moving), fit)
        np.testing.assert_allclose(back, [grids.flow_on_images(field, fixed, moving, fit) for field in flow], atol=2e-5)
