"""Images of several channels (RGB, T1 and T2): every model takes them, keeps their number, and refuses another."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepsim_tf as ds
from deepsim_tf.layers import warp

MADE = {
    "segmentation": lambda shape, **k: ds.models.segmentation_model(shape, 3, features=(4, 8), **k),
    "autoencoder": lambda shape, **k: ds.models.autoencoder(shape, features=(4, 8), **k),
    "registration": lambda shape, **k: ds.models.registration_model(shape, features=(4, 8), **k),
}
each_model = pytest.mark.parametrize("kind", MADE)
each_backbone = pytest.mark.parametrize("backbone", ["voxelmorph", "paper"])


def inputs_of(kind, images):
    return {"moving": images, "fixed": images[::-1]} if kind == "registration" else images


@each_backbone
@pytest.mark.parametrize("shape, channels", [((16, 12), 3), ((8, 12, 8), 2)])
def test_a_registration_network_warps_all_channels_by_one_flow(shape, channels, backbone, rng):
    model = ds.models.registration_model(shape, channels=channels, backbone=backbone, features=(4, 8))
    images = rng.random((2, *shape, channels), "float32")
    found = model.predict(inputs_of("registration", images), verbose=0)
    assert found["warped"].shape == images.shape and found["flow"].shape == (2, *shape, len(shape))
    one_by_one = [warp(images[..., c : c + 1], found["flow"]) for c in range(channels)]
    np.testing.assert_allclose(found["warped"], np.concatenate(one_by_one, -1), atol=1e-6)


@each_backbone
def test_every_channel_of_both_images_moves_the_flow(backbone, rng):
    model = ds.models.registration_model((16, 16), channels=2, backbone=backbone, features=(4,), dropout=False)
    for weight in model.network.trainable_variables:  # the last convolution begins near zero
        weight.assign(rng.normal(0, 0.3, weight.shape))
    images = inputs_of("registration", rng.random((1, 16, 16, 2), "float32"))
    flow = model.predict(images, verbose=0)["flow"]
    for name in images:
        for channel in range(2):
            other = {k: v.copy() for k, v in images.items()}
            other[name][..., channel] = rng.random((1, 16, 16))
            assert np.abs(model.predict(other, verbose=0)["flow"] - flow).max() > 1e-4


@each_model
@each_backbone
def test_a_saved_model_keeps_its_channels(kind, backbone, rng, tmp_path):
    model = MADE[kind]((16, 16), channels=3, backbone=backbone)
    images = inputs_of(kind, rng.random((2, 16, 16, 3), "float32"))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert (model.channels, again.channels, again.get_config()["channels"]) == (3, 3, 3)
    expected, found = (keras.tree.flatten(m.predict(images, verbose=0)) for m in (model, again))
    for a, b in zip(expected, found):
        np.testing.assert_array_equal(a, b)


def test_colour_images_train_each_model(rng):
    images = rng.random((4, 16, 16, 3), "float32")
    segmentation = MADE["segmentation"]((16, 16), channels=3)
    segmentation.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    segmentation.fit(images, (images[..., 0] > 0.5).astype("int32"), verbose=0)
    autoencoder = MADE["autoencoder"]((16, 16), channels=3)
    autoencoder.compile("adam", "mse", run_eagerly=True)
    autoencoder.fit(images, images, verbose=0)
    assert autoencoder.predict(images, verbose=0).shape == images.shape
    registration = MADE["registration"]((16, 16), channels=3)
    extractor = ds.models.FeatureExtractor.from_model(segmentation)
    for similarity in (ds.losses.DeepSim(extractor), ds.losses.LocalNCC(5), ds.losses.MIND(1, 1), ds.losses.NMI(8)):
        registration.compile("adam", similarity, regularizer=ds.losses.Diffusion(), run_eagerly=True)
        history = registration.fit(inputs_of("registration", images), verbose=0).history
        assert np.isfinite(history["loss"]).all()


@each_backbone
@pytest.mark.parametrize("kind, expected", [("segmentation", 3), ("autoencoder", 3), ("registration", 6)])
def test_an_extractor_takes_the_channels_of_its_network(kind, expected, backbone, rng):
    # the U-Net of a registration network sees both images as its channels
    extractor = ds.models.FeatureExtractor.from_model(MADE[kind]((16, 16), channels=3, backbone=backbone))
    assert extractor.channels == expected
    level = "level_0" if backbone == "voxelmorph" else "level_1"
    size = 16 if backbone == "voxelmorph" else 8
    assert extractor(rng.random((1, 16, 16, expected), "float32"))[level].shape == (1, size, size, 4)
    with pytest.raises(ValueError, match=rf"images of {expected} channel.* Received: images.shape=\(1, 16, 16, 1\)"):
        extractor(np.zeros((1, 16, 16, 1), "float32"))


def test_a_saved_graph_has_the_channels_in_its_signature(rng, tmp_path):
    model = MADE["registration"]((16, 16), channels=2)
    model.export(tmp_path / "served", verbose=False)
    images = inputs_of("registration", rng.random((1, 16, 16, 2), "float32"))
    served = tf.saved_model.load(tmp_path / "served")  # kept: its variables go with it
    np.testing.assert_allclose(served.serve(images)["warped"], model.predict(images, verbose=0)["warped"], atol=1e-5)


CALLS = {
    "segmentation": "segmentation_model({}, classes)",
    "autoencoder": "autoencoder({})",
    "registration": "registration_model({})",
}


def refusal(kind, model, shape):
    """The sentence with which `fit`'s step, `predict` and a call refuse images of a shape, which must be the same."""
    images = np.zeros(shape, "float32")
    sentences = set()
    for call in (model, lambda x: model.predict(x, verbose=0)):
        with pytest.raises(ValueError, match="was made for images") as error:
            call(inputs_of(kind, images))
        sentences.add(str(error.value).split("made for images")[1])
    assert len({sentence.split("Received")[0] for sentence in sentences}) == 1
    return sentences.pop()


@each_model
def test_colour_images_on_a_model_of_thin_volumes_are_told_the_call(kind):
    sentence = refusal(kind, MADE[kind]((16, 16, 3)), (2, 16, 16, 3))
    call = CALLS[kind].format("(16, 16), channels=3")
    assert "(batch, 16, 16, 3, 1). Received: " in sentence and "shape=(2, 16, 16, 3). " in sentence
    assert f"Images of 2 dimensions and 3 channel(s) need {call}." in sentence
    assert "If they are volumes of one channel, add its axis, as in images[..., None]." in sentence


@each_model
def test_thin_volumes_on_a_model_of_colour_images_are_told_the_call(kind):
    sentence = refusal(kind, MADE[kind]((16, 16), channels=3), (2, 16, 16, 3, 1))
    assert f"Images of 3 dimensions and 1 channel(s) need {CALLS[kind].format('(16, 16, 3)')}." in sentence


@each_model
def test_another_number_of_channels_is_told_the_call(kind):
    sentence = refusal(kind, MADE[kind]((16, 16)), (2, 16, 16, 4))
    assert f"2 dimensions and 4 channel(s) need {CALLS[kind].format('(16, 16), channels=4')}." in sentence
    sentence = refusal(kind, MADE[kind]((16, 16), channels=4), (2, 16, 16, 1))
    assert f"2 dimensions and 1 channel(s) need {CALLS[kind].format('(16, 16)')}." in sentence


@each_model
def test_images_without_the_axis_of_channels_are_told_of_it(kind):
    assert refusal(kind, MADE[kind]((16, 16)), (2, 16, 16)).endswith(
        "Add the axis of channels, as in images[..., None]."
    )


@each_model
@pytest.mark.parametrize("channels", [0, -1, 1.0, "3", True, None])
def test_channels_must_be_a_positive_whole_number(kind, channels):
    with pytest.raises(
        ValueError, match="channels must be the number of channels of the images, .* Received: channels="
    ):
        MADE[kind]((16, 16), channels=channels)


def test_anything_but_an_array_is_named_by_its_type():
    with pytest.raises(ValueError, match=r"takes images as an array \(batch, ...\). Received: a dict of images"):
        MADE["segmentation"]((16, 16))({"images": np.zeros((1, 16, 16, 1))})
