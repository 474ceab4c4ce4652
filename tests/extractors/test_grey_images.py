"""Grey images in [0, 1] on networks of colour images in 0..255: channels="repeat" and scale=."""

import backbones
import keras
import numpy as np
import pytest

from deepsim_tf.models import FeatureExtractor


def grey(shape=(None, None, 3), **options):
    """An extractor of two levels from a network of colour images."""
    options = {"channels": "repeat", "scale": 255, **options}
    model = backbones.backbone(shape)
    return model, FeatureExtractor.from_model(model, layers=["conv_1", "conv_2"], **options)


@pytest.mark.parametrize("spatial", [(16, 12), (8, 10, 12)])
def test_grey_images_are_repeated_and_scaled(spatial, rng):
    model, extractor = grey((*[None] * len(spatial), 3))
    images = rng.random((2, *spatial, 1), "float32")
    expected = backbones.tap(model, "conv_2", np.repeat(images, 3, axis=-1) * 255)
    np.testing.assert_allclose(extractor(images)["level_2"], expected, rtol=1e-5, atol=1e-4)
    assert extractor.channels == 1 and extractor.ndim == len(spatial)


def test_a_choice_of_levels_and_a_file_keep_them(rng, tmp_path):
    _, extractor = grey()
    images = rng.random((1, 16, 16, 1), "float32")
    chosen = extractor.select(["level_1"])
    chosen.save(tmp_path / "chosen.keras")
    for other in (chosen, keras.models.load_model(tmp_path / "chosen.keras")):
        assert (other.get_config()["channels"], other.get_config()["scale"]) == ("repeat", 255.0)
        np.testing.assert_array_equal(other(images)["level_1"], extractor(images)["level_1"])


def test_a_saved_extractor_is_taken_by_its_path(rng, tmp_path):
    _, extractor = grey()
    extractor.save(tmp_path / "extractor.keras")
    images = rng.random((1, 16, 16, 1), "float32")
    again = FeatureExtractor.from_model(tmp_path / "extractor.keras", levels=["level_2"])
    assert again.levels == ["level_2"]
    np.testing.assert_array_equal(again(images)["level_2"], extractor(images)["level_2"])
    with pytest.raises(ValueError, match="channels and scale of a FeatureExtractor are fixed. .*level_1, level_2"):
        FeatureExtractor.from_model(extractor, scale=2)


def test_the_wrong_number_of_channels_is_answered_with_what_helps():
    _, colour = grey(channels=None)
    with pytest.raises(ValueError, match=r"images of 3 channel\(s\). For grey images, .* channels='repeat'. Received"):
        colour(np.zeros((1, 16, 16, 1), "float32"))
    with pytest.raises(ValueError, match=r"takes grey images, of 1 channel, and repeats them .* Received"):
        grey()[1](np.zeros((1, 16, 16, 3), "float32"))


@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf"), "255", True])
def test_a_scale_must_be_a_number_above_0(scale):
    with pytest.raises(ValueError, match="scale must be a number above 0, such as 255 .* Received: scale="):
        grey(scale=scale)


def test_channels_are_repeated_or_left():
    with pytest.raises(ValueError, match="channels must be 'repeat', .* or None. Received: channels=3"):
        grey(channels=3)
