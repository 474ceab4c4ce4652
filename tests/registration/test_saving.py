"""Saved in one process, loaded in another."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

import deepsim_tf as ds

# What a user writes, and then what the test wants to know.
LOAD = """
import deepsim_tf, keras
model = keras.models.load_model("{folder}/model.keras")

import json
import numpy as np
inputs = dict(np.load("{folder}/inputs.npz"))
outputs, extractor = model(inputs), model.similarity.extractor
before = model.test_on_batch(inputs, return_dict=True)
facts = dict(iterations=int(model.optimizer.iterations.numpy()), rate=float(model.optimizer.learning_rate.numpy()))
facts |= dict(before=before, frozen=len(extractor.weights), moving=len(extractor.trainable_weights))
facts |= dict(levels=model.similarity.levels, weight=model.weight, trainable=model.trainable)
facts["names"] = [type(model).__name__, model.name, model.similarity.name, model.regularizer.name]
model.run_eagerly = True
model.train_on_batch(inputs)
features = extractor(inputs["fixed"])["level_2"]
np.savez("{folder}/outputs.npz", warped=outputs["warped"], flow=outputs["flow"], features=features,
         **{{f"weight_{{k}}": w for k, w in enumerate(model.get_weights())}})
print("FACTS" + json.dumps(facts, default=float))
"""


def test_a_fresh_process_loads_the_model_and_trains_on(registration, extractor, pair, fresh_python, tmp_path):
    model, (inputs, _) = (
        registration(ds.losses.DeepSim(extractor, levels=["level_2"]), weight=0.3, int_steps=2, learning_rate=0.01),
        pair(),
    )
    for _ in range(3):
        model.train_on_batch(inputs)
    model.reset_metrics()
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "inputs.npz", **inputs)
    process = fresh_python(LOAD.format(folder=tmp_path))
    assert process.returncode == 0, process.stderr
    facts, found = json.loads(process.stdout.split("FACTS")[1]), np.load(tmp_path / "outputs.npz")

    for name, output in model(inputs).items():
        np.testing.assert_allclose(found[name], output, atol=1e-6)
    np.testing.assert_allclose(found["features"], extractor(inputs["fixed"])["level_2"], atol=1e-6)
    before = model.test_on_batch(inputs, return_dict=True)
    for name, value in before.items():
        np.testing.assert_allclose(facts["before"][name], value, rtol=1e-5)
    assert facts["moving"] == 0 and facts["frozen"] == len(extractor.weights) and facts["levels"] == ["level_2"]
    assert (facts["iterations"], facts["weight"], facts["trainable"]) == (3, 0.3, True) and np.isclose(
        facts["rate"], 0.01
    )
    assert facts["names"] == ["RegistrationModel", model.name, "deepsim", "diffusion"]
    # The next step is the same in both processes: Adam's moments came along.
    model.train_on_batch(inputs)
    for k, weight in enumerate(model.get_weights()):
        np.testing.assert_allclose(found[f"weight_{k}"], weight, atol=1e-5)


@pytest.mark.parametrize("backbone", ["voxelmorph", "paper"])
def test_a_registration_model_comes_back_with_its_arguments(backbone, pair, tmp_path):
    arguments = {
        "backbone": backbone,
        "features": (4, 8),
        "int_steps": 2,
        "classes": 5,
        "intensity": "fixed:0:256",
        "batch_norm": False,
        "dropout": False,
    }
    model, inputs = ds.models.registration_model((13, 18), **arguments), pair((13, 18))[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert {name: getattr(loaded, name) for name in arguments} == arguments and loaded.shape == (13, 18)
    assert not loaded.compiled  # it never was
    for name, output in model(inputs).items():
        np.testing.assert_array_equal(loaded(inputs)[name], output)


@pytest.mark.parametrize(
    "options", [{"zero_mean": True, "eps": 1e-4}, {"fixed": True, "foreground": 0.1}], ids=["options", "atlas"]
)
def test_deepsim_comes_back_with_its_options_and_its_atlas(options, registration, extractor, pair, tmp_path):
    inputs, _ = pair()
    if options.get("fixed"):
        options = {**options, "fixed": inputs["fixed"][0]}
    model = registration(ds.losses.DeepSim(extractor, **options))
    model.train_on_batch(inputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.similarity(inputs["fixed"], inputs["moving"]),
        model.similarity(inputs["fixed"], inputs["moving"]),
        rtol=1e-6,
    )
    assert (loaded.similarity.zero_mean, loaded.similarity.eps) == (model.similarity.zero_mean, model.similarity.eps)
    if "fixed" in options:
        np.testing.assert_array_equal(loaded.similarity.fixed, model.similarity.fixed)


def test_the_parts_of_a_file_keep_their_names(registration, extractor, pair, tmp_path):
    # Keras names them after the model's attributes, in alphabetical order: a new one would make older files unreadable.
    model = registration(ds.losses.DeepSim(extractor))
    model.train_on_batch(pair()[0])
    model.save(tmp_path / "model.keras")
    with (
        zipfile.ZipFile(tmp_path / "model.keras") as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        assert set(file) == {"layers", "optimizer", "similarity", "vars"}
        assert len(file["similarity/extractor/encoder/layers"]) > 1


@pytest.mark.parametrize("similarity", ["mse", "mae", ds.losses.LocalNCC(5, eps=1e-3)], ids=["mse", "mae", "ncc"])
def test_other_similarities_come_back_too(similarity, registration, pair, tmp_path):
    model, (inputs, labels) = registration(similarity), pair()
    model.train_on_batch(inputs)
    model.reset_metrics()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = True
    expected = model.test_on_batch(inputs, labels, return_dict=True)
    for name, value in loaded.test_on_batch(inputs, labels, return_dict=True).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6)


def test_a_model_that_was_compiled_and_not_trained_comes_back_without_a_warning(registration, tmp_path):
    model = registration()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")  # warnings are errors here
    assert loaded.optimizer.iterations == 0 and loaded.weight == 0.1


def test_a_model_without_a_regularizer_comes_back(tmp_path):
    model = ds.models.registration_model((16, 20), features=(4, 8))
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.regularizer is None and isinstance(loaded.optimizer, keras.optimizers.SGD)


@pytest.mark.parametrize("backbone", ["voxelmorph", "paper"])
def test_a_segmentation_model_comes_back_trainable_or_frozen(backbone, texture, tmp_path):
    model = ds.models.segmentation_model((13, 18), 3, backbone=backbone, features=(4, 8))
    for trainable in (True, False):
        model.trainable = trainable
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert (loaded.trainable, bool(loaded.trainable_weights)) == (
            trainable,
            trainable,
        ) and loaded.name == model.name
        np.testing.assert_array_equal(loaded(texture((13, 18))), model(texture((13, 18))))
