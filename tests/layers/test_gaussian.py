import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from deepsim_tf.layers.gaussian import gaussian


@pytest.mark.parametrize("sigma", [0.5, 1.5, 3])
def test_it_is_scipys(sigma):
    field = np.random.default_rng(0).normal(size=(2, 9, 12, 7, 3))
    expected = gaussian_filter(field, (0, sigma, sigma, sigma, 0), mode="constant", truncate=3)
    np.testing.assert_allclose(gaussian(tf.constant(field), sigma), expected, atol=1e-12)


def test_none_changes_nothing():
    field = tf.random.normal((1, 4, 5, 2))
    assert gaussian(field, 0) is field
