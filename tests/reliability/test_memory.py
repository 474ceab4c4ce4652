"""Memory of a process that predicts again and again. `make soak` makes 10 000 predictions of each kind."""

import deepsim_tf as ds  # isort: skip
import sys

import numpy as np
import pytest
from resources import growth

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize("kind", ["predict_on_batch", "register"])
def test_predictions_do_not_gather_memory(kind):
    model = ds.models.registration_model((16, 20), features=(2,))
    moving, fixed = np.random.default_rng(0).random((2, 16, 20)).astype("float32")
    batch = {"moving": moving[None, ..., None], "fixed": fixed[None, ..., None]}
    call = {
        "predict_on_batch": lambda: model.predict_on_batch(batch),
        "register": lambda: ds.register(model, moving, fixed),
    }[kind]
    found = growth(call, warm_up=100, count=300)
    assert found["growth"] < 0.01, found


def test_a_call_that_keeps_an_image_would_be_seen():
    kept = []
    assert growth(lambda: kept.append(bytearray(200_000)), warm_up=10, count=300)["growth"] > 0.01
