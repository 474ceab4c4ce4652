"""Images of several channels: RGB in colour, of others the first channel, in every figure of images."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from deepsim_tf.figures import examples, features, similarity_map
from deepsim_tf.figures.pictures import slices_of
from deepsim_tf.figures.shown import grey_window, shown, with_channels

FLAT = np.random.default_rng(0).random((24, 32, 3))  # RGB
SOLID = np.random.default_rng(1).random((6, 24, 32, 3))


def pictures(figure):
    return [axis.images[0].get_array() for axis in figure.axes if axis.images]


def coloured(image):
    """What is expected on the page: 0 to 1 from the 0.5 % to the 99.5 % quantile of all channels of both images."""
    low, high = np.quantile([image, image], (0.005, 0.995))
    return np.clip((image - low) / (high - low), 0, 1)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (FLAT, coloured(FLAT)),
        (FLAT[..., :2], FLAT[..., 0]),
        (FLAT[..., :1], FLAT[..., 0]),
        (FLAT[..., 0], FLAT[..., 0]),
    ],
)
def test_three_channels_are_colours_and_of_others_the_first_is_shown(image, expected):
    images = {"moving": image, "fixed": image, "warped": image}
    for figure in (
        examples._draw_example_pair(images, None, {}, False, None),
        examples._draw_example_methods({"moving": image, "fixed": image, "MSE": image}, {}, {}, {}, None),
        similarity_map._draw_similarity(images, {"map": FLAT[..., 0]}, None),
    ):
        for picture in pictures(figure)[:3]:
            np.testing.assert_allclose(picture, expected, atol=1e-6)
    figure = features._draw_feature_maps(image, {"level_1": FLAT}, None)
    np.testing.assert_allclose(pictures(figure)[0], expected, atol=2e-4)  # quantiles of one image
    assert figure.axes[0].get_title() == "image\n24 × 32"


def test_a_volume_with_channels_is_cut_in_the_middle_of_its_first_axis():
    two = SOLID[..., :2]
    figure = examples._draw_example_pair({"moving": two, "fixed": two, "warped": two}, None, {}, True, None)
    for picture in pictures(figure)[:3]:
        np.testing.assert_allclose(picture, two[3, ..., 0])
    cube = np.random.default_rng(2).random((24, 24, 24))
    figure = examples._draw_example_pair(
        {"moving": cube, "fixed": cube[..., None], "warped": cube}, None, {}, False, None
    )
    for picture in pictures(figure):
        np.testing.assert_allclose(picture, cube[12])


def test_the_difference_of_colours_is_their_mean_difference():
    images = {"moving": FLAT + np.array([0.3, 0, 0]), "fixed": FLAT, "warped": FLAT}
    before, after = pictures(examples._draw_example_pair(images, None, {}, True, None))[3:]
    np.testing.assert_allclose(before, np.full((24, 32), 0.1))
    np.testing.assert_allclose(after, 0, atol=1e-12)


def test_the_slider_of_the_report_shows_colours():
    pair = {"name": "a to b", "moving": SOLID, "fixed": SOLID, "warped": {"MSE": SOLID}}
    found = slices_of(pair)
    (middle,) = [part for part in found if part["first"]]
    for uri in (middle["moving"], middle["fixed"], middle["warped"]["MSE"]):
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        np.testing.assert_allclose(picture, coloured(SOLID)[3] * 255, atol=1)
    assert len(found) == 11  # 5 + 3 + 3 slices of the spatial axes, none of the channels


def test_an_array_of_three_axes_has_channels_where_the_grid_says_so_or_the_last_axis_is_short():
    assert with_channels(np.zeros((9, 8, 4)), "fixed").shape == (9, 8, 4)
    assert with_channels(np.zeros((9, 8, 5)), "fixed").shape == (9, 8, 5, 1)
    assert with_channels(np.zeros((9, 8, 5)), "moving", (9, 8)).shape == (9, 8, 5)
    assert with_channels(np.zeros((9, 8, 3)), "moving", (9, 8, 3)).shape == (9, 8, 3, 1)
    with pytest.raises(ValueError, match=r"moving needs the grid of the fixed image. Expected: \(9, 8\).*\(8, 9, 1\)"):
        with_channels(np.zeros((8, 9, 1)), "moving", (9, 8))
    with pytest.raises(ValueError, match=r"fixed cannot be drawn. Expected: \(h, w, channels\).*\(1, 2, 9, 8, 1\)"):
        with_channels(np.zeros((1, 2, 9, 8, 1)), "fixed")


def test_the_window_spans_the_quantiles_of_all_pictures():
    window = grey_window(np.arange(101.0), np.arange(101.0, 201)[:, None])
    assert (window["vmin"], window["vmax"]) == (1, 199)
    np.testing.assert_array_equal(shown(FLAT), FLAT)
