"""Large images are warped and integrated under XLA within a graph.

The same numbers, and no trace of it in a saved model.
"""

import deepsim_tf as ds  # isort: skip
import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf.layers.compiled import LARGE, without_xla

SIDE = int(np.ceil(LARGE ** (1 / 2)))


def inputs(size):
    rng = np.random.default_rng(0)
    images = rng.random((2, size, size, 1), dtype="float32")
    return tf.constant(images), tf.constant(4 * rng.standard_normal((2, size, size, 2)), tf.float32)


def compiled_parts(concrete):
    """Names of the functions of a graph, however deep, that may run under XLA alone."""
    return [f.signature.name for f in concrete.graph.as_graph_def().library.function if f.attr["_XlaMustCompile"].b]


def traced(function, *arguments):
    return tf.function(function, autograph=False).get_concrete_function(*arguments)


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_a_warp_under_xla_has_the_numbers_of_the_plain_one(interpolation):
    images, flow = inputs(SIDE)
    concrete = traced(lambda i, f: ds.layers.warp(i, f, interpolation=interpolation), images, flow)
    assert compiled_parts(concrete)
    # Eager mode does not compile; its numbers are those of VoxelMorph's layer (test_warp.py).
    np.testing.assert_allclose(
        concrete(images, flow), ds.layers.warp(images, flow, interpolation=interpolation), atol=1e-5
    )


def test_integration_under_xla_has_the_numbers_and_gradients_of_the_plain_one():
    flow = inputs(SIDE)[1] / 4

    def gradient(flow):
        with tf.GradientTape() as tape:
            tape.watch(flow)
            total = tf.reduce_sum(tf.sin(ds.layers.integrate(flow, int_steps=3)))
        return total, tape.gradient(total, flow)

    concrete = traced(gradient, flow)
    assert compiled_parts(concrete)
    for found, expected in zip(concrete(flow), gradient(flow), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_small_images_and_unknown_sizes_are_not_compiled():
    images, flow = inputs(SIDE - 1)
    assert not compiled_parts(traced(ds.layers.warp, images, flow))
    unknown = [tf.TensorSpec([None, None, None, channels]) for channels in (1, 2)]
    assert not compiled_parts(traced(ds.layers.warp, *unknown))


def test_without_xla_nothing_is_compiled_and_the_numbers_stay():
    images, flow = inputs(SIDE)
    loss = ds.losses.LocalNCC()
    with without_xla():
        concrete = traced(
            lambda i, f: loss(i, ds.layers.warp(i, f)) + ds.losses.Diffusion()(f, ds.layers.integrate(f)), images, flow
        )
    assert not compiled_parts(concrete)
    assert compiled_parts(traced(loss, images, images))
    expected = loss(images, ds.layers.warp(images, flow)) + ds.losses.Diffusion()(flow, ds.layers.integrate(flow))
    np.testing.assert_allclose(concrete(images, flow), expected, rtol=1e-4)


def test_a_model_exported_by_keras_holds_no_compiled_part(tmp_path):
    model = ds.models.registration_model((SIDE, SIDE), features=(2,), int_steps=2)
    pair = dict(zip(("moving", "fixed"), np.random.default_rng(0).random((2, 1, SIDE, SIDE, 1), "float32")))
    expected = model(pair)
    model.export(tmp_path / "served", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "served")
    assert compiled_parts(traced(model, pair)) and not compiled_parts(loaded.signatures["serving_default"])
    np.testing.assert_allclose(loaded.serve(pair)["warped"], expected["warped"], atol=1e-4)
