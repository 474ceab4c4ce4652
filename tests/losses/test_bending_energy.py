import keras
import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf.losses import BendingEnergy, bending_energy


def reference(flow):
    """The Hessian of each component at each inner voxel of one field (*spatial, ndim), entry by entry in NumPy."""
    ndim, unit, energies = flow.shape[-1], np.eye(flow.shape[-1], dtype=int), []
    for p in np.ndindex(tuple(n - 2 for n in flow.shape[:-1])):
        p, total = np.array(p) + 1, 0
        for d in range(ndim):
            for e in range(ndim):
                if d == e:
                    second = flow[tuple(p + unit[d])] - 2 * flow[tuple(p)] + flow[tuple(p - unit[d])]
                else:
                    second = (
                        sum(s * t * flow[tuple(p + s * unit[d] + t * unit[e])] for s in (1, -1) for t in (1, -1)) / 4
                    )
                total += second**2
        energies.append(total)
    return np.mean(energies)


@pytest.mark.parametrize("shape", [(6, 7), (3, 5), (4, 5, 6)])
def test_bending_energy_is_a_loop_over_hessians(shape, rng):
    flow = rng.normal(size=(2, *shape, len(shape)))
    np.testing.assert_allclose(bending_energy(flow), [reference(f) for f in flow], rtol=1e-12)


@pytest.mark.parametrize("shape", [(6, 7), (5, 6, 7)])
def test_constant_and_linear_flows_cost_nothing(shape, rng):
    grid = np.stack(np.indices(shape).astype("float64"), -1)
    np.testing.assert_allclose(
        bending_energy((grid @ rng.normal(size=(len(shape), len(shape))) + 3)[None]), [0], atol=1e-20
    )


def test_quadratic_flows_by_hand():
    y, x = np.indices((6, 7)).astype("float64")
    # (y^2, 0): yy = 2, so 4 over two components; (y x, 0): xy = yx = 1, so 2 over two
    np.testing.assert_allclose(bending_energy(np.stack([y**2, 0 * x], -1)[None]), [2.0])
    np.testing.assert_allclose(bending_energy(np.stack([y * x, 0 * x], -1)[None]), [1.0])
    np.testing.assert_allclose(bending_energy(np.stack([y**2 - 3 * x * y, 2 * x**2], -1)[None]), [(4 + 2 * 9 + 16) / 2])


def test_a_quadratic_volume_flow_by_hand():
    z, y, x = np.indices((4, 5, 6)).astype("float64")
    # z^2 + 3 x y: zz = 2, xy = yx = 3; 4 + 2 * 9 over three components
    np.testing.assert_allclose(bending_energy(np.stack([z**2 + 3 * x * y, x, y], -1)[None]), [22 / 3])


def test_a_cubic_flow_by_hand():
    # (y^3, 0) on y = 0 .. 4: yy = 6 y at y = 1, 2, 3, squares 36, 144, 324, mean 168, over two components
    y = np.arange(5.0).reshape(5, 1) * np.ones((1, 4))
    np.testing.assert_allclose(bending_energy(np.stack([y**3, 0 * y], -1)[None]), [84.0])


def test_the_loss_ignores_y_true_and_averages_over_the_batch(rng):
    flow = rng.normal(size=(3, 6, 7, 2)).astype("float32")
    np.testing.assert_allclose(BendingEnergy()(np.ones_like(flow), flow), np.mean(bending_energy(flow)), rtol=1e-6)
    np.testing.assert_allclose(
        BendingEnergy(reduction=None)(np.zeros_like(flow), flow), bending_energy(flow), rtol=1e-6
    )


def test_the_gradient_is_that_of_finite_differences(rng):
    flow, direction, step = tf.constant(rng.normal(size=(1, 5, 6, 2))), rng.normal(size=(1, 5, 6, 2)), 1e-6
    with tf.GradientTape() as tape:
        tape.watch(flow)
        energy = bending_energy(flow)
    ends = [bending_energy(flow + sign * step * direction)[0] for sign in (1, -1)]
    np.testing.assert_allclose(
        tf.reduce_sum(tape.gradient(energy, flow) * direction), (ends[0] - ends[1]) / (2 * step), rtol=1e-6
    )


@pytest.mark.parametrize("shape", [(1, 2, 6, 2), (1, 6, 6, 3), (6, 6, 2)])
def test_what_is_no_field_or_too_small_is_refused(shape):
    with pytest.raises(
        ValueError, match=r"bending_energy expects a 2-D or 3-D field, .* at least 3 voxels .* Received: flow.shape="
    ):
        bending_energy(np.zeros(shape))


def test_half_precision_is_computed_in_float32(rng):
    flow = (300 * rng.normal(size=(1, 6, 7, 2))).astype("float16")  # squares overflow in float16
    np.testing.assert_array_equal(bending_energy(flow), bending_energy(flow.astype("float32")))


def test_the_config_makes_the_same_loss():
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(BendingEnergy(name="mine", reduction="sum"))
    )
    assert type(copy) is BendingEnergy and (copy.name, copy.reduction) == ("mine", "sum")
