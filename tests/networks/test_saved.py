"""Files of models: the network's weights are not the loss's, what is frozen stays frozen, and training goes on."""

import deepsim_tf as ds  # isort: skip
import h5py
import keras
import numpy as np
import pytest

SHAPE = (16, 20)


def same(found, expected):
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def make_extractor(seed):
    keras.utils.set_random_seed(seed)
    return ds.models.FeatureExtractor.from_model(ds.models.segmentation_model(SHAPE, 2, features=(2,)))


def make(similarity="mse", **arguments):
    model = ds.models.registration_model(SHAPE, features=(2,))
    model.compile("adam", similarity, run_eagerly=True, **arguments)
    return model


@pytest.fixture(scope="module")
def trained(pair, tmp_path_factory):
    """A folder with the weights of a model that was trained with DeepSim; the model; its extractor."""
    folder, extractor = tmp_path_factory.mktemp("trained"), make_extractor(1)
    model = make(ds.losses.DeepSim(extractor, fixed=pair(SHAPE)[0]["fixed"][0]))
    model.train_on_batch(pair(SHAPE)[0])
    model.save_weights(folder / "model.weights.h5")
    model.save(folder / "model.keras")
    return folder, model, extractor


# The loss's own parts


def test_a_weights_file_holds_the_network_and_its_optimizer_alone(trained):
    with h5py.File(trained[0] / "model.weights.h5") as file:
        assert set(file) == {"layers", "optimizer", "vars"}


@pytest.mark.parametrize("file", ["model.weights.h5", "model.keras"])
def test_loading_weights_leaves_the_extractor_and_the_atlas_of_the_loss_alone(file, trained, pair):
    folder, model, _ = trained
    mine, atlas = make_extractor(2), pair(SHAPE)[0]["moving"][0]
    before, other = mine.get_weights(), make(ds.losses.DeepSim(mine, fixed=atlas))
    other.load_weights(folder / file)
    assert same(mine.get_weights(), before) and same(other.similarity.extractor.get_weights(), before)
    np.testing.assert_array_equal(other.similarity.fixed[0], atlas)
    assert same(other.network.get_weights(), model.network.get_weights())
    assert same(other.optimizer.variables, model.optimizer.variables)


@pytest.mark.parametrize("file", ["model.weights.h5", "model.keras"])
def test_weights_go_from_deepsim_to_mse_and_back(file, trained, pair, tmp_path):
    folder, model, extractor = trained
    plain = make()
    plain.load_weights(folder / file)
    assert same(plain.network.get_weights(), model.network.get_weights())
    plain.train_on_batch(pair(SHAPE)[0])
    plain.save_weights(tmp_path / "plain.weights.h5")
    back, before = make(ds.losses.DeepSim(extractor)), extractor.get_weights()
    back.load_weights(tmp_path / "plain.weights.h5")
    assert same(back.network.get_weights(), plain.network.get_weights()) and same(extractor.get_weights(), before)


def test_the_parts_of_every_loss_travel_in_the_model(pair, tmp_path):
    one, two, three = (make_extractor(seed) for seed in (1, 2, 3))
    terms = [(ds.losses.DeepSim(one), 1.0), (ds.losses.DeepSim(two), 2.0)]
    model = make(terms, metrics=[ds.losses.DeepSim(three)])
    images = pair(SHAPE)[0]
    model.train_on_batch(images)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for (loss, _), extractor in zip(loaded.similarity, (one, two), strict=True):
        assert same(loss.extractor.get_weights(), extractor.get_weights())
    np.testing.assert_allclose(loaded.evaluate(images, verbose=0), model.evaluate(images, verbose=0), rtol=1e-5)


def test_an_autoencoder_keeps_its_loss_apart_too(pair, tmp_path):
    images, extractor = pair(SHAPE)[0]["moving"], make_extractor(1)
    model = ds.models.autoencoder(SHAPE, features=(2,))
    model.compile("adam", ds.losses.DeepSim(extractor), run_eagerly=True)
    model.train_on_batch(images, images)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert same(loaded.loss.extractor.get_weights(), extractor.get_weights())
    model.save_weights(tmp_path / "model.weights.h5")
    plain = ds.models.autoencoder(SHAPE, features=(2,))
    plain.compile("adam", "mse")
    for name in ("model.weights.h5", "model.keras"):
        plain.load_weights(tmp_path / name)
        assert same(plain.get_weights(), model.get_weights())


def test_callbacks_that_keep_weights_work_with_deepsim(pair, tmp_path):
    images, labels = pair(SHAPE)
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5", "val_dice", save_best_only=True, save_weights_only=True
    )

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)

    model = make(ds.losses.DeepSim(make_extractor(1)))
    model.fit(images, labels, validation_data=(images, labels), epochs=2, callbacks=[best, backup()], verbose=0)
    other, mine = make(ds.losses.DeepSim(make_extractor(2))), make_extractor(2)
    history = other.fit(images, labels, epochs=2, callbacks=[backup()], verbose=0).history
    assert history == {}  # both epochs are done
    assert same(other.network.get_weights(), model.network.get_weights())
    assert same(other.optimizer.variables, model.optimizer.variables)
    assert same(other.similarity.extractor.get_weights(), mine.get_weights())
    other.load_weights(tmp_path / "best.weights.h5")


# What is frozen

MODELS = {
    "registration": (ds.models.registration_model, "mse"),
    "segmentation": (lambda shape, **arguments: ds.models.segmentation_model(shape, 2, **arguments), None),
    "autoencoder": (ds.models.autoencoder, "mse"),
}


def batch(name, pair):
    images, labels = pair(SHAPE)
    return {
        "registration": (images,),
        "segmentation": (images["moving"], labels["moving_labels"]),
        "autoencoder": (images["moving"],) * 2,
    }[name]


def freeze_encoder(model):
    """Freeze its convolutions and its first batch norm, and of the last convolution the bias alone."""
    convolutions = [layer for layer in model._flatten_layers() if hasattr(layer, "kernel")]
    for layer in model._flatten_layers():
        if "enc_conv" in layer.name or layer.name.endswith("enc_norm_1"):
            layer.trainable = False
    convolutions[-1].bias.trainable = False


@pytest.mark.parametrize("backbone", ["voxelmorph", "paper"])  # the second with batch norm and dropout
@pytest.mark.parametrize("name", MODELS)
def test_frozen_layers_stay_frozen_and_training_goes_on_to_the_bit(name, backbone, pair, tmp_path):
    build, loss = MODELS[name]
    model = build(SHAPE, backbone=backbone, features=(2,))
    every = len(model.trainable_variables)
    freeze_encoder(model)
    model.compile(keras.optimizers.Adam(1e-2), loss=loss or "sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(*batch(name, pair))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")  # warnings, as of a lost optimizer, are errors here
    assert len(loaded.trainable_variables) == len(model.trainable_variables) < every
    for one in (model, loaded):
        one.train_on_batch(*batch(name, pair))
    assert same(loaded.get_weights(), model.get_weights())
    assert same(loaded.optimizer.variables, model.optimizer.variables)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_frozen_after_compile_asks_for_another_compile_and_is_kept_in_a_file(name, pair, tmp_path):
    build, loss = MODELS[name]
    model = build(SHAPE, features=(2,))
    model.compile("adam", loss=loss or "sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(*batch(name, pair))
    freeze_encoder(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert same(loaded.optimizer.variables, model.optimizer.variables)
    assert len(loaded.trainable_variables) == len(model.trainable_variables)
    with pytest.raises(ValueError, match="Layers were frozen or thawed since compile: .*kernel.* Call compile again"):
        loaded.fit(*batch(name, pair), verbose=0)


def test_a_model_that_is_frozen_as_a_whole_but_for_a_layer_comes_back_so():
    model = ds.models.registration_model(SHAPE, features=(2,))
    model.trainable = False
    layer = next(layer for layer in model.network.layers if layer.name.endswith("_flow"))
    layer.trainable = True
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert not copy.trainable and [found.name for found in copy.network.layers if found.trainable] == [layer.name]


# Endings


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("ending", "say"),
    [
        (".h5", "Keras's old .h5 format holds neither the terms of its loss nor what is frozen"),
        (".hdf5", "Keras's old .h5 format holds neither"),
        (".weights.h5", "save_weights"),
        ("", "ds.export"),
        (".pb", "ds.export"),
    ],
)
def test_another_ending_than_keras_is_refused_with_the_right_call(name, ending, say, tmp_path):
    model = MODELS[name][0](SHAPE, features=(2,))
    with pytest.raises(ValueError, match=rf"Call model.save\('.*/model.keras'\).*{say}"):
        model.save(tmp_path / f"model{ending}")
    assert not list(tmp_path.iterdir())


def test_keras_own_function_refuses_h5_too(tmp_path):
    with pytest.raises(ValueError, match="A model is saved in a .keras file. Call model.save"):
        keras.saving.save_model(make(), tmp_path / "model.h5")


def test_a_folder_without_compression_is_read_and_written_over(pair, tmp_path):
    model, images = make(), pair(SHAPE)[0]
    for _ in range(2):
        model.train_on_batch(images)
        model.save(tmp_path / "model", zipped=False)
        loaded = keras.models.load_model(tmp_path / "model")
        assert same(loaded.get_weights(), model.get_weights())
