"""`format="onnx"`: onnxruntime, which shares nothing with TensorFlow, gives the served model's numbers."""

import deepsim_tf as ds  # isort: skip
import sys

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from exports import raw, stirred

from deepsim_tf.export.signatures import signatures


@pytest.fixture(scope="module")
def model(extractor):
    """A tiny model with a rule, a grid and DeepSim."""
    keras.utils.set_random_seed(0)
    model = ds.models.registration_model((16, 20), features=(2,), intensity="quantile")
    model.compile("adam", ds.losses.DeepSim(extractor, levels=["level_1"]))
    return stirred(model)


def test_onnxruntime_gives_the_numbers_of_tensorflow(model, tmp_path):
    version = ds.export(model, tmp_path / "cells", format="onnx")
    assert version == tmp_path / "cells" / "1"
    moving, fixed = raw((30, 37), 2, seed=1), raw((30, 37), 2, seed=2)
    flow = np.random.default_rng(0).uniform(-4, 4, (2, 30, 37, 2)).astype("float32")
    inputs = {
        "serving_default": {"moving": moving, "fixed": fixed},
        "similarity": {"fixed": fixed, "warped": moving},
        "warp_labels": {"labels": (moving[..., 0] / 1000).astype("int32"), "flow": flow},
    }
    functions, _ = signatures(model)
    assert {path.stem for path in version.iterdir()} == set(functions) == set(inputs)
    for name, arrays in inputs.items():
        session = onnxruntime.InferenceSession(version / f"{name}.onnx")
        found = dict(zip([output.name for output in session.get_outputs()], session.run(None, arrays), strict=True))
        expected = functions[name](**{key: tf.constant(array) for key, array in arrays.items()})
        assert set(found) == set(expected)
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, atol=1e-5 * max(1, np.abs(value).max()))


def test_without_the_converter_the_error_says_what_to_install(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(
        ValueError, match="format 'onnx' needs the converter tf2onnx. Install it: pip install 'tf2onnx>=1.17,<1.18'"
    ):
        ds.export(model, tmp_path / "cells", format="onnx")
    assert not (tmp_path / "cells").exists()
