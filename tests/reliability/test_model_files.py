"""Model files that hold code, or ask for a function of another package, are refused, and nothing in them runs."""

import json
import zipfile

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest

from deepsim_tf.cli import main

SHAPE = (16, 16)


@pytest.fixture
def harm(tmp_path):
    """A path; the models of this file make a file there as soon as their code runs."""
    return tmp_path / "harm"


def with_code(path, harm):
    """Save a network whose last layer is a Lambda that holds code."""
    images = keras.Input((*SHAPE, 1))
    x = keras.layers.ReLU(name="unet_enc_conv_0_0_activation")(keras.layers.Conv2D(2, 3, padding="same")(images))
    code = eval(f"lambda x: (open({str(harm)!r}, 'w').close(), x)[1]")  # the path is part of the code that is saved
    keras.Model(images, keras.layers.Lambda(code)(x)).save(path)
    harm.unlink()  # made while the model was


def with_function(path, harm):
    """Save a network, and name the function os.system as the class of its layer."""
    keras.Sequential([keras.Input((*SHAPE, 1)), keras.layers.ReLU()]).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1] = {
        "module": "os",
        "class_name": "system",
        "registered_name": "system",
        "config": {"command": f"touch {harm}"},
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("make", "name"), [(with_code, "model.keras"), (with_code, "model.h5"), (with_function, "model.keras")]
)
def test_code_in_a_model_file_never_runs(make, name, tmp_path, harm, capsys, monkeypatch):
    path, image = tmp_path / name, np.zeros(SHAPE, "float32")
    np.save(tmp_path / "a.npy", image)
    make(path, harm)
    load = ds.models.FeatureExtractor.from_model
    for use in (lambda: load(path), lambda: ds.register(path, image, image), lambda: ds.export(path, tmp_path / "out")):
        with pytest.raises(ValueError, match=f"{name} cannot be read as a "):
            use()
    for command in (
        [
            "register",
            "--model",
            path,
            "--moving",
            tmp_path / "a.npy",
            "--fixed",
            tmp_path / "a.npy",
            "--out",
            tmp_path / "out",
        ],
        ["export", "--model", path, "--out", tmp_path / "out"],
        [
            "train-registration",
            "--dataset",
            "synthetic-cells",
            "--loss",
            "deepsim",
            "--extractor",
            path,
            "--out",
            tmp_path / "out",
        ],
    ):
        capsys.readouterr()
        assert main([str(word) for word in command]) == 2
        assert f"{name} cannot be read as a " in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npy", name]


def test_the_code_is_real_and_runs_where_a_user_asks_keras_for_it(tmp_path, harm):
    with_code(tmp_path / "model.keras", harm)
    model = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    model(np.zeros((1, *SHAPE, 1), "float32"))
    assert harm.exists()
