"""What the tests share.

Seeded textures and pairs, a tiny untrained extractor and tiny models, a fresh Python process.
"""

import os
import subprocess
import sys

import deepsim_tf as ds  # isort: skip  (before TensorFlow, as in users' scripts)
import keras
import numpy as np
import pytest
from places import ROOT, SHAPE
from scipy import ndimage


@pytest.fixture(autouse=True)
def seeded():
    """The same weights, dropout and shuffles in every test, whatever ran before."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng():
    """A seeded NumPy generator."""
    return np.random.default_rng(0)


@pytest.fixture
def mixed_float16():
    """The policy mixed_float16 for the time of a test."""
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def texture():
    """`texture(shape, count, seed, smooth)`: smooth random images in [0, 1], (count, *shape, 1) float32."""

    def make(shape=SHAPE, count=1, seed=0, smooth=1.5):
        images = ndimage.gaussian_filter(
            np.random.default_rng(seed).random((count, *shape)), (0, *[smooth] * len(shape))
        )
        return ((images - images.min()) / np.ptp(images)).astype("float32")[..., None]

    return make


@pytest.fixture(scope="session")
def pair(texture):
    """`pair(shape)`.

    Two pairs {"moving", "fixed"}, one voxel apart on every axis, and their labels (above the median).
    """

    def make(shape=SHAPE):
        whole = texture(tuple(n + 1 for n in shape), count=2)
        inner, outer = (slice(None), *[slice(1, None)] * len(shape)), (slice(None), *[slice(None, -1)] * len(shape))
        labels = (whole[..., 0] > np.median(whole)).astype("int32")
        return {"moving": whole[outer], "fixed": whole[inner]}, {
            "moving_labels": labels[outer],
            "fixed_labels": labels[inner],
        }

    return make


@pytest.fixture(scope="session")
def segmenter():
    """A tiny untrained segmentation model for images of SHAPE, on the paper's backbone; do not train it."""
    keras.utils.set_random_seed(1)
    return ds.models.segmentation_model(SHAPE, 3, backbone="paper", features=(4, 8))


@pytest.fixture(scope="session")
def extractor(segmenter):
    """The frozen encoder of `segmenter`: level_1 with 4 channels, level_2 with 8."""
    return ds.models.FeatureExtractor.from_model(segmenter)


@pytest.fixture
def registration():
    """`registration(similarity, ...)`.

    A tiny registration model, compiled with Diffusion, run eagerly (no graph to trace).
    """

    def make(similarity="mse", *, shape=SHAPE, weight=0.1, learning_rate=1e-3, eager=True, **arguments):
        model = ds.models.registration_model(shape, **{"features": (4, 8), **arguments})
        optimizer = keras.optimizers.Adam(learning_rate)
        model.compile(optimizer, similarity, regularizer=ds.losses.Diffusion(), weight=weight, run_eagerly=eager)
        return model

    return make


@pytest.fixture(scope="session")
def fresh_python():
    """`fresh_python(code, NAME=value)`.

    Run code in another process, in the environment of a new shell plus the given variables.
    """

    def run(code, **variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "KERAS_"))}
        environment.update({"PYTHONPATH": str(ROOT), **variables})
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture(scope="session")
def constant():
    """`constant(shape, flow, ...)`: a registration model that answers every pair with one and the same displacement."""

    def make(shape, flow, **arguments):
        model = ds.models.registration_model(shape, features=(2,), **arguments)
        kernel, bias = next(layer for layer in model.network.layers if layer.name.endswith("_flow")).weights
        kernel.assign(np.zeros(kernel.shape))
        bias.assign(flow)
        return model

    return make
