"""Sampling arrays: channels alike, dtypes, and the border; linear interpolation by hand."""

import numpy as np
import pytest

from deepsim_tf.grids.affine import joined
from deepsim_tf.grids.fit import fit_image
from deepsim_tf.grids.sampling import onto_grid, sample_at, spread

OBLIQUE = joined([[0.5, 0.1], [-0.2, 0.4]], [1.0, 2.0])


def test_a_value_between_four_pixels_is_weighted_by_nearness():
    image = np.array([[0, 10], [20, 40]], np.uint8)
    # At (1/4, 1/2): rows 0 and 1 hold 5 and 30 in the middle of the columns. Beyond the border its value continues.
    np.testing.assert_allclose(sample_at(image, np.array([[0.25, 0.5], [-3, 9]])), [11.25, 10])
    np.testing.assert_array_equal(sample_at(image, np.array([[0.4, 0.6]]), interpolation="nearest"), [10])


def test_the_dtype_is_float32_or_that_of_the_labels():
    points = np.zeros((1, 2))
    for dtype, expected in (("uint8", "float32"), ("float32", "float32"), ("float64", "float64")):
        image = np.ones((2, 2), dtype)
        assert sample_at(image, points).dtype == expected
        assert sample_at(image, points, interpolation="nearest").dtype == dtype


@pytest.mark.parametrize(
    "sample",
    [
        lambda image: sample_at(image, np.random.default_rng(1).uniform(-2, 12, (7, 2))),
        lambda image: spread(image, OBLIQUE, (9, 14)),
        lambda image: spread(image, joined([0.5, 0.4], [1.0, 2.0]), (9, 14)),
        lambda image: onto_grid(image, OBLIQUE, (4, 5)),
        lambda image: onto_grid(image, joined([0.15, 0.1], [0.0, 0.0]), (2, 2)),  # smoothed first
    ],
)
def test_channels_are_sampled_alike(sample, rng):
    image = rng.random((10, 12, 3), np.float32)
    expected = np.stack([sample(image[..., c]) for c in range(3)], axis=-1)
    np.testing.assert_array_equal(sample(image), expected)
    assert sample(image).dtype == np.float32


@pytest.mark.parametrize("fit", ["pad", "pad:2", "resample"])
@pytest.mark.parametrize(("size", "grid"), [((13, 8), (8, 10)), ((16, 30), (8, 10)), ((12, 9, 10), (6, 5, 9))])
def test_channels_come_to_the_grid_alike(fit, size, grid, rng):
    image = rng.random((*size, 3), np.float32)
    expected = np.concatenate([fit_image(image[..., c : c + 1], grid, fit) for c in range(3)], axis=-1)
    np.testing.assert_allclose(fit_image(image, grid, fit), expected, atol=1e-6)


def test_a_diagonal_map_and_a_nearly_diagonal_one_give_the_same_values(rng):
    # SciPy has another loop for each.
    image, diagonal = rng.random((10, 12), np.float32), joined([0.5, 0.4], [1.0, 2.0])
    nearly = diagonal.copy()
    nearly[0, 1] = 1e-12
    np.testing.assert_allclose(spread(image, diagonal, (9, 14)), spread(image, nearly, (9, 14)), atol=1e-6)


def test_an_unknown_interpolation_lists_the_known_ones():
    with pytest.raises(ValueError, match="Unknown interpolation 'cubic'. Available: linear, nearest."):
        sample_at(np.ones((2, 2)), np.zeros((1, 2)), interpolation="cubic")
