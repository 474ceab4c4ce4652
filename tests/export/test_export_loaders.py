"""What was exported, loaded in three ways.

As a TensorFlow 2 object, in a session, and by C without TensorFlow's Python.
"""

import deepsim_tf as ds  # noqa: F401  isort: skip
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from exports import ask, brains, cells, raw, served

CLIENT = pathlib.Path(__file__).with_name("c_client.py")


def by_session(version, images):
    """Outputs by name with the loader of TensorFlow 1, and the names of the tensors.

    Of the inputs, and of the outputs.
    """
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], version).signature_def["serving_default"]
        inputs, outputs = (
            {key: info.name for key, info in side.items()} for side in (signature.inputs, signature.outputs)
        )
        return session.run(outputs, {inputs[key]: image for key, image in images.items()}), inputs, outputs


def by_c(version, images, inputs, outputs, folder):
    """Outputs by name with C, in a process of its own."""
    np.savez(folder / "arrays.npz", **images)
    names = [
        *(f"{key}={name}" for key, name in inputs.items()),
        "-",
        *(f"{key}={name}" for key, name in outputs.items()),
    ]
    command = [
        sys.executable,
        CLIENT,
        tf.sysconfig.get_lib(),
        version,
        folder / "arrays.npz",
        folder / "results.npz",
        *names,
    ]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    return dict(np.load(folder / "results.npz"))


@pytest.mark.parametrize(("model", "size"), [(cells, (30, 37)), (brains, (14, 9, 11))])
def test_the_three_loaders_give_equal_numbers(model, size, tmp_path):
    images = {
        "moving": raw(size, 2, seed=1),
        "fixed": raw(size, 2, seed=2),
    }  # two pairs, of another size than the model's grid
    expected = ask(model, "serving_default", **images)
    assert np.abs(expected["flow"]).max() > 0.5
    version = str(served(model))
    in_session, inputs, outputs = by_session(version, images)
    in_c = by_c(version, images, inputs, outputs, tmp_path)
    assert set(expected) == set(in_session) == set(in_c) == {"warped", "flow"}
    for key, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(in_session[key], value, atol=1e-5 * scale)
        np.testing.assert_allclose(in_c[key], value, atol=1e-5 * scale)
