"""`fit` warns once where a similarity does not react when the images move."""

import warnings

import backbones
import keras
import numpy as np
import pytest
import tensorflow as tf

import deepsim_tf as ds

BLIND = "DeepSim hardly reacts when an image moves: .* pass scale=255 to FeatureExtractor.from_model"


@pytest.fixture
def blind():
    """A DeepSim that sees nothing of images in [0, 1]."""
    return ds.losses.DeepSim(backbones.scaling_extractor())


def test_the_first_fit_after_compile_warns_and_names_the_remedy(blind, pair, registration):
    model, inputs = registration([("mse", 1.0), (blind, 0.5)]), pair()[0]
    with pytest.warns(UserWarning, match=BLIND) as found:
        model.fit(inputs, batch_size=2, verbose=0)
    assert len(found) == 1 and found[0].filename == __file__
    model.fit(inputs, batch_size=2, verbose=0)  # a warning would be an error here
    model.compile("adam", blind, run_eagerly=True)
    with pytest.warns(UserWarning, match=BLIND):
        model.fit(inputs, batch_size=2, verbose=0)


def test_a_seeing_similarity_and_one_of_no_weight_are_silent(blind, pair, registration):
    inputs = pair()[0]
    for similarity in (ds.losses.DeepSim(backbones.scaling_extractor(255)), [("mse", 1.0), (blind, 0.0)], "mae"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            registration(similarity).fit(inputs, batch_size=2, verbose=0)


def test_arrays_are_looked_at_themselves(pair, registration):
    inputs = {name: 0.5 + 1e-4 * (images - 0.5) for name, images in pair()[0].items()}  # hardly any contrast
    similarity = ds.losses.DeepSim(backbones.scaling_extractor(255))
    with pytest.warns(UserWarning, match=BLIND):
        registration(similarity).fit(inputs, batch_size=2, verbose=0)


def test_no_element_of_a_dataset_is_taken_for_it(blind, pair, registration):
    read = []

    def note(image):
        read.append(1)
        return image

    def noted(inputs):
        fixed = tf.numpy_function(note, [inputs["fixed"]], tf.float32, stateful=True)
        return ({"moving": inputs["moving"], "fixed": tf.ensure_shape(fixed, inputs["moving"].shape)},)

    data = tf.data.Dataset.from_tensors(pair()[0]).map(noted)
    model = registration(blind)
    with pytest.warns(UserWarning, match=BLIND):
        model.fit(data, epochs=2, verbose=0)
    first = len(read)
    model.fit(data, epochs=2, verbose=0)  # which asks no more
    assert first > 0 and len(read) == 2 * first


def test_images_of_several_channels_and_volumes_have_a_texture_too():
    for shape, channels in (((16, 16), 2), ((16, 16, 16), 1)):
        model = ds.models.registration_model(shape, channels=channels, features=(4, 8))
        extractor = backbones.scaling_extractor(shape=(*[None] * len(shape), channels))
        model.compile("adam", ds.losses.DeepSim(extractor), run_eagerly=True)
        images = tf.zeros((1, *shape, channels))
        data = tf.data.Dataset.from_tensors(({"moving": images, "fixed": images},))
        with pytest.warns(UserWarning, match=BLIND):
            model.fit(data, verbose=0)


def test_a_model_from_a_file_is_asked_again(blind, pair, registration, tmp_path):
    registration(blind).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match=BLIND):
        model.fit(pair()[0], batch_size=2, verbose=0)
    assert np.isfinite(model.evaluate(pair()[0], batch_size=2, verbose=0)).all()
