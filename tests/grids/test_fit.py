"""Images on a grid, against arrays made by hand."""

import numpy as np
import pytest

from deepsim_tf.grids.fit import fit_image, fit_labels, parse_fit


def row(*values):
    """One row of pixels as an image (1, n, 1)."""
    return np.array(values, np.float32)[None, :, None]


@pytest.mark.parametrize(
    ("target", "expected"),
    # An odd number of voxels leaves the larger half behind the image.
    [
        (3, [1, 2, 3]),
        (4, [1, 2, 3, 3]),
        (5, [1, 1, 2, 3, 3]),
        (6, [1, 1, 2, 3, 3, 3]),
        (7, [1, 1, 1, 2, 3, 3, 3]),
        (2, [2, 3]),
        (1, [2]),
    ],
)
def test_padding_continues_the_border_and_cropping_keeps_the_centre(target, expected):
    np.testing.assert_array_equal(fit_image(row(1, 2, 3), (1, target), "pad"), row(*expected))


def test_labels_are_padded_with_background():
    labels = np.array([[2, 1, 3]])
    np.testing.assert_array_equal(fit_labels(labels, (3, 6), "pad"), [[0] * 6, [0, 2, 1, 3, 0, 0], [0] * 6])
    np.testing.assert_array_equal(fit_labels(labels, (1, 1), "pad"), [[1]])


def test_each_axis_is_padded_or_cropped_by_itself():
    volume = np.arange(24, dtype=np.float32).reshape(2, 3, 4, 1)
    found = fit_image(volume, (4, 2, 4), "pad")
    np.testing.assert_array_equal(found, volume[[0, 0, 1, 1], 1:])  # of three columns the first is cropped
    np.testing.assert_array_equal(fit_labels(volume[..., 0], (2, 2, 4), "pad"), volume[:, 1:, :, 0])


def test_pad_2_pads_on_the_finer_grid_and_averages_blocks():
    # 4 values on 8 fine voxels: 1 1 | 1 3 | 5 9 | 9 9
    np.testing.assert_array_equal(fit_image(np.repeat(row(1, 3, 5, 9), 2, 0), (1, 4), "pad:2"), row(1, 2, 7, 9))
    # Labels take the sample nearest to a block's centre: the second of each two.
    np.testing.assert_array_equal(fit_labels(np.array([[1, 2, 3, 4]] * 2), (1, 4), "pad:2"), [[0, 2, 4, 0]])


def test_resampling_by_a_whole_factor_is_the_mean_of_blocks():
    np.testing.assert_array_equal(fit_image(row(1, 3, 5, 9), (1, 2), "resample"), row(2, 7))
    np.testing.assert_array_equal(fit_labels(np.array([[1, 2, 3, 4]]), (1, 2), "resample"), [[2, 4]])


def test_resampling_to_a_finer_grid_has_half_pixel_centres():
    # Fine voxels 0 .. 3 lie at -0.25, 0.25, 0.75, 1.25 of the coarse ones; beyond the border its value continues.
    np.testing.assert_allclose(fit_image(row(0, 4), (1, 4), "resample"), row(0, 1, 3, 4), atol=1e-6)
    np.testing.assert_array_equal(fit_labels(np.array([[1, 2]]), (1, 4), "resample"), [[1, 1, 2, 2]])
    np.testing.assert_array_equal(
        fit_labels(np.array([[1, 2, 3]]), (1, 5), "resample"), [[1, 1, 2, 3, 3]]
    )  # at .1 .7 1 1.3 1.9


def test_the_same_size_stays_as_it_is():
    image = np.random.default_rng(0).random((5, 6, 1), np.float32)
    for fit in ("pad", "resample"):
        np.testing.assert_array_equal(fit_image(image, (5, 6), fit), image)


@pytest.mark.parametrize("fit", ["crop", "resample:2", "pad:0", "pad:-1", "pad:1.5", "", None])
def test_an_unknown_fit_lists_the_known_ones(fit):
    with pytest.raises(ValueError, match=f"Unknown fit {fit!r}. Available: pad, pad:FACTOR, resample."):
        parse_fit(fit)
