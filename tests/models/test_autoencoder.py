"""The autoencoder, and the extractor cut from it."""

import keras
import numpy as np
import pytest

import deepsim_tf as ds


@pytest.mark.parametrize(
    ("backbone", "levels"), [("voxelmorph", {"level_0": 4, "level_1": 8}), ("paper", {"level_1": 4, "level_2": 8})]
)
@pytest.mark.parametrize("shape", [(15, 18), (9, 10, 12)])
def test_it_returns_images_of_any_size_and_its_encoder_is_an_extractor(backbone, levels, shape, texture):
    model = ds.models.autoencoder(shape, backbone=backbone, features=(4, 8))
    images = texture(shape, count=2)
    reproduced = model.predict(images, verbose=0)
    assert reproduced.shape == (2, *shape, 1) and 0 < reproduced.min() <= reproduced.max() < 1
    features = ds.models.FeatureExtractor.from_model(model)(images)
    assert {level: maps.shape[-1] for level, maps in features.items()} == levels


@pytest.mark.parametrize("backbone", ["voxelmorph", "paper"])
def test_nothing_passes_the_bottleneck_by(backbone):
    model = ds.models.autoencoder((16, 16), backbone=backbone, features=(4, 8))
    assert not [layer.name for layer in model.layers if isinstance(layer, keras.layers.Concatenate)]
    # A constant bottleneck, and the output is the same for any image: with a skip connection it would not be.
    deepest = model.get_layer("unet_enc_conv_2_1" if backbone == "paper" else "unet_enc_conv_1_0")
    deepest.set_weights([np.zeros_like(weights) for weights in deepest.get_weights()])
    noise, zeros = np.random.default_rng(0).random((1, 16, 16, 1), "float32"), np.zeros((1, 16, 16, 1), "float32")
    np.testing.assert_allclose(model.predict(noise, verbose=0), model.predict(zeros, verbose=0), atol=1e-6)


def test_training_brings_the_images_nearer(texture):
    images = ds.data.synthetic("cells", "train", size=(32, 32), count=4)
    model = ds.models.autoencoder(images.shape, features=(8, 8))
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    batches = ds.data.autoencoder_dataset(images, 4, training=True)
    losses = model.fit(batches, epochs=12, verbose=0).history["loss"]
    image, target = next(iter(batches))
    np.testing.assert_array_equal(image, target)
    assert losses[-1] < 0.7 * losses[0]


def test_it_comes_back_from_a_file(tmp_path, texture):
    model, images = ds.models.autoencoder((16, 16), backbone="paper", features=(4, 8)), texture((16, 16))
    model.compile("adam", "mse")
    model.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(again.predict(images, verbose=0), model.predict(images, verbose=0))
    assert again.evaluate(images, images, verbose=0) == model.evaluate(images, images, verbose=0)


def test_bad_images_are_refused():
    model = ds.models.autoencoder((16, 16), features=(4, 8))
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="An autoencoder expects float images"):
        model.fit(np.ones((1, 16, 16, 1), "uint8"), np.ones((1, 16, 16, 1), "float32"), verbose=0)
    with pytest.raises(ValueError, match="An autoencoder expects finite images, but images holds NaN or infinity"):
        model.fit(np.full((1, 16, 16, 1), np.nan, "float32"), np.ones((1, 16, 16, 1), "float32"), verbose=0)
