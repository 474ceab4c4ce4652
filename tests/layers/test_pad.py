import keras
import numpy as np
import pytest

from deepsim_tf.layers import (
    CropLike,
    EdgePad,
    LinearUpSampling,
    RescaleTransform,
    SpatialTransformer,
    VecInt,
    padded_size,
)


@pytest.mark.parametrize("size, multiple, expected", [(16, 8, 16), (17, 8, 24), (1, 8, 8), (30, 16, 32)])
def test_the_padded_size_is_the_next_multiple(size, multiple, expected):
    assert padded_size(size, multiple) == expected


@pytest.mark.parametrize("shape, padded", [((13, 16), (16, 16)), ((5, 9, 1), (8, 12, 4))])
def test_padding_is_numpys_edge_mode_at_the_end(shape, padded, rng):
    images = rng.random((2, *shape, 3), "float32")
    widths = [(0, 0), *[(0, m - n) for n, m in zip(shape, padded, strict=True)], (0, 0)]
    np.testing.assert_array_equal(EdgePad(4)(images), np.pad(images, widths, mode="edge"))


@pytest.mark.parametrize("shape", [(13, 16), (5, 9, 1)])
def test_cropping_undoes_padding(shape, rng):
    images = rng.random((2, *shape, 3), "float32")
    np.testing.assert_array_equal(CropLike()([EdgePad(8)(images), images]), images)


def test_a_field_of_half_the_resolution_keeps_half_the_size_rounded_up(rng):
    field, reference = rng.random((1, 8, 8, 2), "float32"), np.zeros((1, 13, 16, 1), "float32")
    np.testing.assert_array_equal(CropLike(shrink=2)([field, reference]), field[:, :7, :8])


def test_padding_takes_unknown_sizes(rng):
    images = keras.Input((None, None, 1))
    model = keras.Model(images, [EdgePad(4)(images), CropLike()([EdgePad(4)(images), images])])
    example = rng.random((1, 5, 8, 1), "float32")
    padded, cropped = model(example)
    assert padded.shape == (1, 8, 8, 1)
    np.testing.assert_array_equal(cropped, example)


def test_a_saved_model_of_all_layers_gives_the_same_numbers(tmp_path, rng):
    image, flow = keras.Input((9, 10, 1)), keras.Input((9, 10, 2))
    small = VecInt(int_steps=2)(RescaleTransform(0.5)(EdgePad(4)(flow)))
    warped = SpatialTransformer()([image, CropLike()([RescaleTransform(2)(small), image])])
    model = keras.Model([image, flow], [LinearUpSampling()(warped), CropLike(shrink=2)([small, image])])
    model.save(tmp_path / "layers.keras")
    inputs = [rng.random((2, 9, 10, channels), "float32") for channels in (1, 2)]
    for after, before in zip(keras.models.load_model(tmp_path / "layers.keras")(inputs), model(inputs), strict=True):
        np.testing.assert_array_equal(after, before)
