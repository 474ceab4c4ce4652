import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from deepsim_tf._compat import vxm
from deepsim_tf.layers import VecInt, integrate, warp


def smooth_field(shape, rng, size=2.0, smooth=4.0, batch=1):
    """A smooth random field that falls to zero at the border, at most `size` voxels."""
    field = ndimage.gaussian_filter(
        rng.normal(size=(batch, *shape, len(shape))), (0, *[smooth] * len(shape), 0), mode="constant"
    )
    window = np.prod(np.meshgrid(*[np.sin(np.pi * (np.arange(n) + 0.5) / n) for n in shape], indexing="ij"), axis=0)
    field = field * window[None, ..., None]
    return (size * field / np.abs(field).max()).astype("float32")


@pytest.mark.parametrize("shape", [(14, 15), (8, 9, 10)])
def test_integration_is_voxelmorphs_number_for_number(shape, rng):
    velocity = smooth_field(shape, rng, size=3.0, smooth=1.5, batch=2)
    np.testing.assert_allclose(VecInt(int_steps=3)(velocity), vxm.layers.VecInt(int_steps=3)(velocity), atol=1e-5)
    assert issubclass(VecInt, vxm.layers.VecInt)


def test_a_contraction_has_its_closed_form():
    # v(x) = a (x - c): each squaring is exact, so after n of them u(x) = ((1 + a / 2^n)^(2^n) - 1)(x - c)
    a, centre, steps = -0.5, np.array([5.0, 4.0]), 6
    offset = np.moveaxis(np.indices((11, 9)), 0, -1) - centre
    flow = integrate(tf.constant((a * offset)[None], tf.float32), int_steps=steps)[0]
    np.testing.assert_allclose(flow, ((1 + a / 2**steps) ** 2**steps - 1) * offset, atol=1e-4)


def test_a_constant_velocity_is_its_own_flow_and_zero_steps_change_nothing(rng):
    velocity = np.broadcast_to(np.array([1.5, -2.0], "float32"), (2, 8, 9, 2))
    np.testing.assert_allclose(integrate(velocity), velocity, atol=1e-5)
    field = smooth_field((8, 9), rng)
    np.testing.assert_array_equal(integrate(field, int_steps=0), field)


def test_the_flow_of_the_negative_velocity_is_the_inverse(rng, texture):
    velocity, image = smooth_field((40, 40), rng, size=3.0), texture((40, 40), smooth=3.0)
    there_and_back = warp(warp(image, integrate(velocity)), integrate(-velocity))
    assert np.abs(warp(image, integrate(velocity)) - image).max() > 0.1
    np.testing.assert_allclose(there_and_back[:, 5:-5, 5:-5], image[:, 5:-5, 5:-5], atol=0.03)  # interpolated twice


def test_the_composition_with_the_inverse_is_close_to_zero(rng):
    velocity = smooth_field((40, 40), rng, size=3.0)
    flow, inverse = integrate(velocity), integrate(-velocity)
    rest = inverse + warp(flow, inverse)  # displacement of flow o inverse
    assert np.abs(flow).max() > 1.5 and np.abs(rest).max() < 0.1


@pytest.mark.parametrize("arguments", [{"method": "ode"}, {"indexing": "xy"}])
def test_other_ways_of_integrating_are_refused(arguments):
    with pytest.raises(ValueError, match="VecInt here knows method='ss' and indexing='ij'"):
        VecInt(**arguments)


def test_the_config_makes_the_same_layer(rng):
    layer, field = VecInt(int_steps=3, name="mine"), smooth_field((8, 9), rng)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(copy) is VecInt and copy.get_config() == layer.get_config()
    np.testing.assert_array_equal(copy(field), layer(field))
