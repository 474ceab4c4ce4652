"""Figures of maps: the extractor's features, and the similarity of a pair."""

import numpy as np
import pytest
from matplotlib.image import imread

from deepsim_tf import figures
from deepsim_tf.figures.features import _components, _draw_feature_maps
from deepsim_tf.figures.similarity_map import _draw_similarity

IMAGE = np.linspace(0, 1, 24 * 32).reshape(24, 32)


def features(shape=(12, 16), channels=5):
    """Channel c varies like (0, 3, 1, 4, 2)[c]."""
    ramp = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    return np.stack([ramp * weight for weight in (0, 3, 1, 4, 2)[:channels]], axis=-1)


def drawn(figure):
    """Title and picture of every panel that holds one, row by row."""
    return [(axis.get_title(), axis.images[0].get_array()) for axis in figure.axes if axis.images]


def test_the_channels_of_highest_variance_are_shown_highest_first():
    figure = _draw_feature_maps(IMAGE, {"level_1": features(), "level_2": features((6, 8), 1)}, None)
    names = [name for name, _ in drawn(figure)]
    assert names[:3] == [
        "image\n24 × 32",
        "level_1\n12 × 16, 5 channels\nchannel 3",
        "level_2\n6 × 8, 1 channel\nchannel 0",
    ]
    assert names[3:] == ["channel 1", "channel 4"]
    np.testing.assert_allclose(drawn(figure)[3][1], features()[..., 1])


def test_every_level_covers_the_image():
    figure = _draw_feature_maps(IMAGE, {"level_1": features(), "level_2": features((6, 8))}, None)
    assert {tuple(axis.images[0].get_extent()) for axis in figure.axes if axis.images} == {(-0.5, 31.5, 23.5, -0.5)}


def test_a_volume_and_its_features_are_cut_in_the_middle():
    volume = np.stack([IMAGE] * 8)[..., None] + np.arange(8)[:, None, None, None]
    level = features((4, 12, 16))
    figure = _draw_feature_maps(volume, {"level_1": level}, None)
    (heading, image), (_, first), *_ = drawn(figure)
    assert heading == "image\n8 × 24 × 32, slice 4"
    np.testing.assert_allclose(image, IMAGE + 4)
    np.testing.assert_allclose(first, level[2, ..., 3], rtol=1e-6)


def test_principal_components_carry_their_part_of_the_variance(rng):
    # Two independent patterns of variance 9 : 1, mixed into four channels by orthonormal directions: the components are
    # the patterns.
    patterns = rng.standard_normal((2, 4096))
    patterns = np.linalg.qr((patterns - patterns.mean(axis=1, keepdims=True)).T)[0].T * [[3], [1]]
    directions = np.array([[0.8, 0.6, 0, 0], [0, 0, 0.6, 0.8]])
    maps = (patterns.T @ directions).reshape(64, 64, 4)
    (first, map_1), (second, map_2), (third, _) = _components(maps)
    assert (first, second, third) == ("component 1, 90%", "component 2, 10%", "component 3, 0%")
    np.testing.assert_allclose(map_1.ravel(), patterns[0], atol=1e-6)
    np.testing.assert_allclose(map_2.ravel(), patterns[1], atol=1e-6)


def test_features_without_variance_are_drawn():
    names = [
        name for name, _ in drawn(_draw_feature_maps(IMAGE, {"level_1": np.ones((12, 16, 2))}, None, components=True))
    ]
    assert names[1:] == ["level_1\n12 × 16, 2 channels\ncomponent 1, 0%", "component 2, 0%"]


def test_the_map_has_a_bar_from_minus_1_to_1_and_its_mean():
    similar = np.full((24, 32), 0.25)
    figure = _draw_similarity({"fixed": IMAGE, "warped": IMAGE}, {"map": similar}, None)
    assert [name for name, _ in drawn(figure)] == ["Fixed", "Warped", "DeepSim\nmean 0.250"]
    assert figure.axes[2].images[0].get_clim() == (-1, 1)
    bar = figure.axes[2].child_axes[0]
    assert bar.get_ylim() == (-1, 1) and bar.get_ylabel() == "similarity (1: alike)"


def test_before_and_after_share_one_scale():
    images = {"moving": IMAGE[::-1], "fixed": IMAGE, "warped": IMAGE}
    figure = _draw_similarity(images, {"map_before": np.zeros((24, 32, 1)), "map": np.ones((24, 32, 1))}, None, 0.5)
    assert [name for name, _ in drawn(figure)] == [
        "Moving",
        "Fixed",
        "Warped",
        "DeepSim before\nmean 0.000",
        "DeepSim after\nmean 1.000",
    ]
    assert [axis.images[0].get_clim() for axis in figure.axes[3:5]] == [(0.5, 1)] * 2


def test_the_map_grows_brighter_with_the_similarity():
    shown = _draw_similarity({"fixed": IMAGE, "warped": IMAGE}, {"map": IMAGE}, None).axes[2].images[0]
    grey = shown.cmap(np.linspace(0, 1, 50))[:, :3] @ (0.299, 0.587, 0.114)
    assert (np.diff(grey) > 0).all()


def test_files_are_written_and_not_blank(tmp_path):
    written = [
        *figures.feature_maps(IMAGE, {"level_1": features()}, tmp_path / "features", title="t061"),
        *figures.feature_maps(IMAGE, {"level_1": features()}, tmp_path / "components", components=True),
        *figures.similarity(IMAGE, IMAGE, IMAGE, tmp_path / "map", moving=IMAGE, map_before=-IMAGE, title="t061"),
    ]
    assert all(imread(path)[..., :3].std() > 0.02 for path in written[::2])
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_wrong_axes_are_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"the features of 'level_1'.*h, w, channels, without a batch axis. Received: \(1, 12, 16, 5\)"
    ):
        figures.feature_maps(IMAGE, {"level_1": features()[None]}, tmp_path / "f")
    with pytest.raises(ValueError, match="feature maps. Expected: at least one level"):
        figures.feature_maps(IMAGE, {}, tmp_path / "f")
    with pytest.raises(ValueError, match=r"map needs the grid of the fixed image.*Received: \(12, 16\)"):
        figures.similarity(IMAGE, IMAGE, IMAGE[::2, ::2], tmp_path / "f")


def test_values_outside_the_range_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"map_before. Expected: a cosine.*not the loss.*Received: values from 0 to 2"):
        figures.similarity(IMAGE, IMAGE, IMAGE, tmp_path / "f", moving=IMAGE, map_before=2 * IMAGE)
    with pytest.raises(ValueError, match="lowest at least -1 and below 1.*Received: lowest=1"):
        figures.similarity(IMAGE, IMAGE, IMAGE, tmp_path / "f", lowest=1)
