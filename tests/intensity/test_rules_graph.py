"""The intensity rules as TensorFlow operations, against NumPy's (deepsim_tf.intensity.rules, tested by itself)."""

import deepsim_tf as ds  # noqa: F401  isort: skip
import numpy as np
import pytest
import tensorflow as tf
from exports import raw

from deepsim_tf.intensity.rules import apply_intensity
from deepsim_tf.intensity.rules_graph import quantile, scale_intensity


@pytest.mark.parametrize("rule", ["minmax", "quantile", "quantile:0.3:0.55", "quantile:0:1", "fixed:100:3000", "none"])
@pytest.mark.parametrize("shape", [(17, 23), (9, 8, 7)])
def test_a_batch_gets_the_numbers_of_numpy_image_by_image(rule, shape):
    images = raw(shape, 3) * np.array([1, 0.1, 5], "float32").reshape(3, *[1] * (len(shape) + 1))
    scaled = tf.function(scale_intensity)(tf.constant(images), rule)
    np.testing.assert_allclose(scaled, [apply_intensity(image, rule) for image in images], atol=1e-5)


@pytest.mark.parametrize("q", [0.0, 0.01, 0.37, 0.5, 0.99, 1.0])
def test_quantiles_lie_between_neighbours_as_numpy_puts_them(rng, q):
    for n in (1, 2, 3, 100, 101):
        values = rng.standard_normal((2, n)).astype("float32")
        np.testing.assert_allclose(quantile(tf.constant(values), q), np.quantile(values, q, axis=1), atol=1e-6)


@pytest.mark.parametrize("rule", ["minmax", "quantile"])
def test_an_image_without_contrast_is_refused_when_it_is_sent(rule):
    images = np.stack([np.eye(8), np.ones((8, 8))])[..., None].astype("float32")
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=f"the intensity rule {rule} needs contrast, and an image has none"
    ):
        tf.function(scale_intensity)(tf.constant(images), rule)
