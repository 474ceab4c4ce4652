"""Every formula of `deepsim_tf.grids` as TensorFlow operations against the one in NumPy, over one table of cases.

NumPy's, which scikit-image and SciPy compute, are tested by themselves in the other files of this folder.
"""

import deepsim_tf as ds  # noqa: F401  isort: skip
import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf.grids import fit as fit_numpy
from deepsim_tf.grids import fit_graph, flow_graph, sampling, sampling_graph
from deepsim_tf.grids import flow as flow_numpy

CASES = {  # (spatial shape of fixed, of moving, of the grid, channels)
    "smaller": ((9, 14), (12, 30), (16, 20), 1),
    "larger and odd, of three channels": ((61, 47), (61, 47), (16, 20), 3),
    "a multiple": ((48, 60), (16, 20), (16, 20), 1),
    "one axis equal": ((33, 20), (50, 50), (16, 20), 2),
    "equal": ((16, 20), (16, 20), (16, 20), 4),
    "a volume": ((13, 8, 21), (20, 9, 6), (8, 10, 6), 1),
    "a volume of two channels on an odd grid": ((12, 10, 9), (7, 5, 9), (6, 5, 9), 2),
}


@pytest.mark.parametrize("fit", ["pad", "pad:2", "pad:3", "resample"])
@pytest.mark.parametrize("case", CASES)
def test_the_graph_gives_the_numbers_of_numpy(case, fit, rng, texture):
    fixed, moving, grid, channels = CASES[case]
    ndim = len(grid)
    images = np.stack([texture(fixed, count=2, seed=c)[..., 0] for c in range(channels)], axis=-1)
    flow = rng.uniform(-3, 3, (2, *grid, ndim)).astype("float32")
    points = rng.uniform(-2, np.array(fixed) + 1, (2, *grid, ndim))  # beyond the border too
    unknown = tf.TensorSpec([None] * (ndim + 1) + [channels])

    on_grid = tf.function(lambda x: fit_graph.fit_images(x, grid, fit), input_signature=[unknown])(images)
    np.testing.assert_allclose(on_grid, [fit_numpy.fit_image(image, grid, fit) for image in images], atol=1e-5)
    for ours, expected in zip(fit_graph.to_grid(fixed, grid, fit), fit_numpy.to_grid(fixed, grid, fit), strict=True):
        np.testing.assert_allclose(ours, expected)

    on_fixed = flow_graph.flow_on_images(tf.constant(flow), tf.constant(fixed), tf.constant(moving), fit)
    expected = [flow_numpy.flow_on_images(field, fixed, moving, fit) for field in flow]
    np.testing.assert_allclose(on_fixed, expected, atol=2e-5)

    for how in ("linear", "nearest"):
        found = sampling_graph.sample_at(images, tf.unstack(tf.constant(points), axis=-1), interpolation=how)
        both = zip(images, points, strict=True)
        np.testing.assert_allclose(
            found, [sampling.sample_at(image, where, interpolation=how) for image, where in both], atol=1e-6
        )
    np.testing.assert_allclose(
        sampling_graph.centres(grid[0], fixed[0], tf.float64), sampling.centres(grid[0], fixed[0])
    )
