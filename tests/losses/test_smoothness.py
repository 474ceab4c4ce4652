import keras
import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf._compat import vxm
from deepsim_tf.losses import Diffusion, diffusion


@pytest.mark.parametrize("shape", [(7, 9), (5, 6, 7)])
def test_diffusion_is_voxelmorphs_gradient_loss(shape, rng):
    flow = rng.normal(size=(3, *shape, len(shape))).astype("float32")
    np.testing.assert_allclose(diffusion(flow), vxm.losses.Grad("l2").loss(None, tf.constant(flow)), rtol=1e-5)


def test_a_constant_flow_costs_nothing():
    np.testing.assert_array_equal(diffusion(np.full((2, 6, 7, 2), 3.5, "float32")), [0.0, 0.0])


def test_a_linear_flow_by_hand():
    # u = (2 y + x, 3 x): differences along y are (2, 0), along x (1, 3); ((4 + 0) / 2 + (1 + 9) / 2) / 2 = 3.5
    y, x = np.indices((5, 6)).astype("float32")
    np.testing.assert_allclose(diffusion(np.stack([2 * y + x, 3 * x], -1)[None]), [3.5], rtol=1e-6)


def test_a_linear_volume_flow_by_hand():
    # u = (3 z, 0, 0): differences along z are (3, 0, 0), else zero; (9 / 3 + 0 + 0) / 3 = 1
    z = np.indices((4, 5, 6))[0].astype("float32")
    np.testing.assert_allclose(diffusion(np.stack([3 * z, 0 * z, 0 * z], -1)[None]), [1.0], rtol=1e-6)


def test_the_loss_ignores_y_true_and_averages_over_the_batch(rng):
    flow = rng.normal(size=(3, 6, 7, 2)).astype("float32")
    np.testing.assert_allclose(Diffusion()(np.ones_like(flow), flow), np.mean(diffusion(flow)), rtol=1e-6)
    np.testing.assert_allclose(Diffusion(reduction=None)(np.zeros_like(flow), flow), diffusion(flow), rtol=1e-6)


def test_the_config_makes_the_same_loss():
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(Diffusion(name="mine", reduction="sum"))
    )
    assert type(copy) is Diffusion and (copy.name, copy.reduction) == ("mine", "sum")
