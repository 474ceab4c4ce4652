"""The intensity rules as TensorFlow operations against NumPy's, which are tested by themselves, over one table."""

import deepsim_tf as ds  # noqa: F401  isort: skip
import numpy as np
import pytest
import tensorflow as tf
from exports import raw

from deepsim_tf.intensity import rules, rules_graph


@pytest.mark.parametrize(
    "rule", ["minmax", "quantile", "quantile:0.3:0.55", "quantile:0:1", "quantile:0.5:0.51", "fixed:100:3000", "none"]
)
@pytest.mark.parametrize(("shape", "channels"), [((17, 23), 1), ((9, 8, 7), 1), ((16, 20), 3), ((8, 5, 6), 2)])
def test_the_graph_gives_the_numbers_of_numpy_image_by_image(rule, shape, channels):
    images = np.concatenate([raw(shape, 3, seed=c) * (c + 1) for c in range(channels)], axis=-1)
    images *= np.array([1, 0.1, 5], "float32").reshape(3, *[1] * (len(shape) + 1))
    scaled = tf.function(rules_graph.apply_intensity)(tf.constant(images), rule)
    np.testing.assert_allclose(scaled, [rules.apply_intensity(image, rule) for image in images], atol=1e-5)


@pytest.mark.parametrize("q", [0.0, 0.01, 0.37, 0.5, 0.99, 1.0])
def test_quantiles_lie_between_neighbours_as_numpy_puts_them(rng, q):
    for n in (1, 2, 3, 100, 101):
        values = rng.standard_normal((2, n)).astype("float32")
        np.testing.assert_allclose(
            rules_graph.quantile(tf.constant(values), q), np.quantile(values, q, axis=1), atol=1e-6
        )


@pytest.mark.parametrize("rule", ["minmax", "quantile"])
def test_an_image_without_contrast_is_refused_when_it_is_sent(rule):
    images = np.stack([np.eye(8), np.ones((8, 8))])[..., None].astype("float32")
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=f"the intensity rule {rule} needs contrast, and an image has none"
    ):
        tf.function(rules_graph.apply_intensity)(tf.constant(images), rule)
