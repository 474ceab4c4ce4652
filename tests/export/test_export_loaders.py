"""What was exported, loaded in three ways: as a TensorFlow 2 object, in a session, and by C without TensorFlow's Python."""

import deepsim_tf as ds  # noqa: F401  isort: skip
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from exports import ask, cells, raw, served

CLIENT = pathlib.Path(__file__).with_name("c_client.py")


@pytest.fixture
def images():
    """Two pairs, of another size than the model's grid."""
    return {"moving": raw((30, 37), 2, seed=1), "fixed": raw((30, 37), 2, seed=2)}


@pytest.fixture
def session_results(images):
    """Results by name, and the names of the tensors: by the loader of TensorFlow 1."""
    version = str(served(cells))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], version).signature_def["serving_default"]
        inputs, outputs = ({key: info.name for key, info in side.items()} for side in (signature.inputs, signature.outputs))
        return session.run(outputs, {inputs[key]: image for key, image in images.items()}), inputs, outputs


def test_the_three_loaders_give_equal_numbers(images, session_results, tmp_path):
    expected = ask(cells, "serving_default", **images)
    assert np.abs(expected["flow"]).max() > 1
    by_session, inputs, outputs = session_results

    np.savez(tmp_path / "arrays.npz", **images)
    names = [*(f"{key}={name}" for key, name in inputs.items()), "-", *(f"{key}={name}" for key, name in outputs.items())]
    command = [sys.executable, CLIENT, tf.sysconfig.get_lib(), served(cells), tmp_path / "arrays.npz", tmp_path / "results.npz", *names]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    by_c = np.load(tmp_path / "results.npz")

    assert set(expected) == set(by_session) == set(by_c.files) == {"warped", "flow"}
    for key, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(by_session[key], value, atol=1e-5 * scale)
        np.testing.assert_allclose(by_c[key], value, atol=1e-5 * scale)
