"""What every measure of two images does, and what both regularisers do, in a model too."""

import doctest
import functools
import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepsim_tf as ds
from deepsim_tf.layers import warp
from deepsim_tf.losses import (
    MIND,
    NMI,
    BendingEnergy,
    Diffusion,
    LocalNCC,
    SoftDice,
    bending_energy,
    diffusion,
    local_ncc,
    mind,
    nmi,
    soft_dice,
)

SIMILARITIES = {"ncc": LocalNCC(5), "nmi": NMI(16, fraction=1), "mind": MIND(1, 1), "dice": SoftDice(squared=True)}
SAMPLED = {**SIMILARITIES, "nmi sampled": NMI(16, fraction=0.5)}
each = pytest.mark.parametrize("loss", SIMILARITIES.values(), ids=SIMILARITIES.keys())
each_sampled = pytest.mark.parametrize("loss", SAMPLED.values(), ids=SAMPLED.keys())


def with_gradient(loss, fixed, warped):
    warped = tf.convert_to_tensor(warped)
    with tf.GradientTape() as tape:
        tape.watch(warped)
        value = loss(fixed, warped)
    return value, tape.gradient(value, warped)


@pytest.mark.parametrize("module", ["ncc", "nmi", "mind", "dice", "similarity", "smoothness"])
def test_the_examples_print_what_they_say(module):
    module = importlib.import_module(f"deepsim_tf.losses.{module}")
    result = doctest.testmod(module, extraglobs={"ds": ds, "np": np})
    assert result.attempted > 0 and result.failed == 0


@each
@pytest.mark.parametrize("shape", [(16, 18), (10, 9, 8)])
def test_equal_images_score_best(loss, shape, texture):
    fixed, others = texture(shape), texture(shape, count=3, seed=1)
    best = loss(fixed, fixed)
    assert all(best < loss(fixed, other[None]) for other in others)


@each_sampled
def test_a_step_against_the_gradient_lowers_the_loss(loss, texture):
    fixed, warped = texture((16, 18)), texture((16, 18), seed=1)
    before, gradient = with_gradient(loss, fixed, warped)
    step = 1e-2 / tf.norm(gradient)
    if loss is SAMPLED["nmi sampled"]:  # the next image draws other voxels: compare on all of them
        loss = SAMPLED["nmi"]
        before = loss(fixed, warped)
    assert loss(fixed, warped - step * gradient) < before


@each
def test_the_gradient_points_back_from_a_shift(loss, texture):
    fixed = texture((24, 24), smooth=2.0)
    away = tf.Variable(0.6)
    for _ in range(2):  # along one axis, then from the other side
        with tf.GradientTape() as tape:
            flow = tf.ones((1, 24, 24, 2)) * tf.stack([away, 0.0])
            value = loss(fixed, warp(fixed, flow))
        assert tape.gradient(value, away) * away > 0
        away.assign(-away)


@each_sampled
@pytest.mark.parametrize("shape", [(12, 13), (8, 9, 7)])
def test_a_graph_gives_the_value_and_gradient_of_eager_mode(loss, shape, rng):
    # in a graph LocalNCC and MIND run under XLA
    fixed, warped = (tf.constant(rng.random((2, *shape, 1), "float32")) for _ in range(2))
    value, gradient = with_gradient(loss, fixed, warped)
    for signature in (None, [tf.TensorSpec((None, None, None, 1))] * 2)[
        : 4 - len(shape)
    ]:  # known sizes, and in 2-D unknown ones
        found = tf.function(functools.partial(with_gradient, loss), signature, autograph=False)(fixed, warped)
        np.testing.assert_allclose(found[0], value, rtol=1e-5)
        np.testing.assert_allclose(found[1], gradient, atol=1e-5 * np.abs(gradient).max() + 1e-9)


@each
def test_images_are_measured_one_by_one_and_can_be_weighed(loss, rng):
    fixed, warped = rng.random((3, 12, 12, 1), "float32"), rng.random((3, 12, 12, 1), "float32")
    values = np.array([float(loss(fixed[k : k + 1], warped[k : k + 1])) for k in range(3)])
    weights = np.array([1.0, 0.0, 3.0], "float32")
    np.testing.assert_allclose(loss(fixed, warped, sample_weight=weights), (weights * values).sum() / 3, rtol=1e-4)


@each_sampled
@pytest.mark.parametrize("kind", ["zero", "one", "binary", "flat patches", "beyond 1"])
def test_loss_and_gradient_are_finite(loss, kind, rng):
    noise = rng.random((2, 14, 15, 1), "float32")
    warped = {"zero": 0 * noise, "one": 0 * noise + 1, "binary": np.round(noise), "beyond 1": 3 * noise}.get(
        kind, noise.copy()
    )
    if kind == "flat patches":
        warped[:, :10], warped[:, 10:, 8:] = 0, 1
    for fixed in (noise, warped):
        value, gradient = with_gradient(loss, fixed, warped)
        assert np.isfinite(value) and np.all(np.isfinite(gradient))


@each_sampled
def test_half_precision_is_computed_in_float32(loss, rng, mixed_float16):
    fixed, warped = (rng.random((1, 16, 16, 1)).astype("float16") for _ in range(2))
    value = loss(fixed, warped)
    assert value.dtype == "float32"
    np.testing.assert_allclose(value, loss(fixed.astype("float32"), warped.astype("float32")), rtol=1e-6)


@each
def test_unequal_shapes_missing_channels_and_integers_are_refused(loss):
    one, name = np.ones((1, 8, 8, 1), "float32"), type(loss).__name__
    with pytest.raises(
        ValueError,
        match=rf"{name} compares images of equal shape. Received: y_true.shape=\(1, 8, 8, 1\), y_pred.shape=\(4, 8, 8,"
        r" 1\)",
    ):
        loss(one, np.repeat(one, 4, 0))
    with pytest.raises(ValueError, match=rf"{name} expects 2-D or 3-D images, .* Received: y_pred.shape=\(8, 8, 1\)"):
        loss(one[0], one[0])
    with pytest.raises(ValueError, match=rf"{name} expects .*float.* Received: y_true of type uint8"):
        loss(one.astype("uint8"), one.astype("uint8"))


REGULARIZERS = {"diffusion": Diffusion(), "bending": BendingEnergy()}
each_of_all = pytest.mark.parametrize(
    "loss", [*SAMPLED.values(), *REGULARIZERS.values()], ids=[*SAMPLED.keys(), *REGULARIZERS.keys()]
)
FUNCTIONS = {"local_ncc": local_ncc, "nmi": nmi, "soft_dice": soft_dice}
FUNCTIONS |= {
    name: lambda _, x, f=f: f(x) for name, f in (("diffusion", diffusion), ("bending_energy", bending_energy))
}
FUNCTIONS["mind"] = lambda _, x: mind(x)


@each_of_all
@pytest.mark.parametrize(
    "values", [np.float32(0.5), 0.5, np.ones(8, "float32"), [0.5, 0.5], np.ones((2, 8), "float32")]
)
def test_numbers_and_lines_are_refused_in_one_sentence(loss, values):
    shape = str(np.shape(values)).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(
        ValueError, match=rf"{type(loss).__name__} expects a? ?2-D or 3-D .* Received: y_pred.shape={shape}\."
    ):
        loss(values, values)


@each_of_all
@pytest.mark.parametrize("kind", [np.nan, np.inf])
def test_nan_in_an_array_is_refused_and_in_a_tensor_makes_the_loss_nan(loss, kind, rng):
    good, bad = rng.random((2, 8, 9, 2), "float32"), rng.random((2, 8, 9, 2), "float32")
    bad[1, 3, 3] = kind
    name = type(loss).__name__
    with pytest.raises(
        ValueError, match=rf"{name} expects finite (images|fields). Received: y_pred with 2 values that"
    ):
        loss(good, bad)
    if np.isnan(kind):
        value = loss(tf.constant(good), tf.constant(bad))
        assert np.isnan(value)
        graph = tf.function(loss, autograph=False)
        assert np.isnan(graph(tf.constant(good), tf.constant(bad)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_functions_refuse_what_the_losses_refuse(name):
    function, good = FUNCTIONS[name], np.ones((1, 8, 9, 2), "float32")
    with pytest.raises(ValueError, match=rf"{name} expects a? ?2-D or 3-D .* Received: .*shape=\(9, 2\)\."):
        function(good[0, 0], good[0, 0])
    with pytest.raises(ValueError, match=rf"{name} expects .*float.* Received: .* of type int32"):
        function(good.astype("int32"), good.astype("int32"))
    with pytest.raises(
        ValueError, match=rf"{name} expects finite (images|fields). Received: .* with 144 values that are"
    ):
        function(good, np.nan * good)


@pytest.mark.parametrize("loss", REGULARIZERS.values(), ids=REGULARIZERS.keys())
def test_regularisers_refuse_what_is_no_field(loss):
    name, least = type(loss).__name__, 2 if isinstance(loss, Diffusion) else 3
    good = np.ones((2, 8, 9, 2), "float32")
    expected = rf"{name} expects a 2-D or 3-D field, \(batch, \*spatial, ndim\), of at least {least} voxels"
    for shape in [(1, 8, 9, 3), (1, 8, 8, 8, 2), (1, 8, least - 1, 2), (1, 8, 8, least - 1, 3)]:
        with pytest.raises(ValueError, match=expected):
            loss(good, np.ones(shape, "float32"))
    with pytest.raises(
        ValueError, match=f"{name} expects a field of floats, in voxels. Received: y_pred of type int64"
    ):
        loss(good, good.astype("int64"))
    with pytest.raises(ValueError, match=rf"{name} expects weights of images, .*Received: \(2, 8, 9\)"):
        loss(good, good, sample_weight=good[..., 0])
    noise = np.random.default_rng(0).random((2, 8, 9, 2))
    each_alone = np.array([float(loss(None, noise[k : k + 1])) for k in range(2)])
    np.testing.assert_allclose(loss(None, noise, sample_weight=[3.0, 1.0]), each_alone @ [3, 1] / 2, rtol=1e-5)


@each_sampled
@pytest.mark.parametrize("regularizer", [Diffusion(), BendingEnergy(name="bending")], ids=["diffusion", "bending"])
def test_a_compiled_model_comes_back_from_its_file_at_the_same_loss(loss, regularizer, pair, tmp_path):
    inputs, _ = pair()
    model = ds.models.registration_model((16, 20), features=(4, 8))
    model.compile(keras.optimizers.Adam(1e-3), loss, regularizer=regularizer, weight=0.3, run_eagerly=True)
    model.train_on_batch(inputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (
        loaded.similarity.get_config() == loss.get_config()
        and loaded.regularizer.get_config() == regularizer.get_config()
    )
    losses = []
    for each_model in (model, loaded):
        each_model.run_eagerly = True
        each_model.reset_metrics()
        losses.append(each_model.test_on_batch(inputs, return_dict=True))
    assert losses[0].keys() == losses[1].keys()
    np.testing.assert_allclose(list(losses[0].values()), list(losses[1].values()), rtol=1e-6)


@each
def test_fit_in_a_graph_lowers_the_loss(loss, pair):
    inputs, _ = pair((16, 16))
    model = ds.models.registration_model((16, 16), features=(4, 8))
    model.compile(keras.optimizers.Adam(3e-3), loss, regularizer=BendingEnergy(), weight=0.01)
    history = model.fit(inputs, epochs=8, verbose=0, shuffle=False).history["loss"]
    assert np.all(np.isfinite(history)) and min(history[-3:]) < history[0]
