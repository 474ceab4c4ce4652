import deepsim_tf as ds  # isort: skip
import numpy as np
import pytest
from refinable import SHAPE


@pytest.fixture(scope="session")
def shifted(texture):
    """`shifted(shape, shift)`.

    A moving image with its content `shift` voxels further on every axis than the fixed one.
    """

    def make(shape=SHAPE, shift=2, seed=0):
        whole = texture(tuple(n + shift for n in shape), seed=seed, smooth=2.0)[0]
        moving, fixed = (whole[(part,) * len(shape)] for part in (slice(None, -shift), slice(shift, None)))
        return moving, fixed

    return make


@pytest.fixture
def untrained(registration):
    """`untrained(...)`: a registration model, compiled as a graph, of a flow near zero."""

    def make(similarity="mse", **arguments):
        return registration(
            similarity, **{"shape": SHAPE, "features": (2, 2), "eager": False, "weight": 0.01, **arguments}
        )

    return make


@pytest.fixture(scope="module")
def model():
    """An untrained model for SHAPE with the mean squared difference, compiled as a graph, that tests share.

    Refinement does not change it.
    """
    model = ds.models.registration_model(SHAPE, features=(2, 2))
    model.compile("adam", "mse", regularizer=ds.losses.Diffusion(), weight=0.01)
    return model


@pytest.fixture(scope="module")
def integrating():
    """The same with integration, the mean absolute difference and an uneven flow."""
    model = ds.models.registration_model(SHAPE, features=(2, 2), int_steps=2)
    model.compile("adam", "mae", regularizer=ds.losses.Diffusion(), weight=3.0)
    layer = next(layer for layer in model.network.layers if layer.name.endswith("_flow"))
    layer.kernel.assign(np.random.default_rng(0).normal(size=layer.kernel.shape, scale=2.0))
    return model
