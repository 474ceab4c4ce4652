"""Refining the flow of one pair.

It descends as Adam does, finds what a network missed, and returns nothing worse than it was given.
"""

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest
import tensorflow as tf
from refinable import SHAPE, predicted, zero
from scipy import ndimage

from deepsim_tf.registration.refined import corrected, refine_flow


def sampled(array, points):
    """Linear interpolation by SciPy of each channel: (*spatial, channels), (*grid, ndim) -> (*grid, channels)."""
    at = [
        ndimage.map_coordinates(channel, np.moveaxis(points, -1, 0), order=1, mode="nearest")
        for channel in np.moveaxis(array, -1, 0)
    ]
    return np.stack(at, -1)


def grid(shape):
    return np.moveaxis(np.indices(shape), 0, -1).astype("float64")


def corrected_by_scipy(flow, velocity):
    """u + flow o (id + u), with u from a velocity on a grid half as fine, by scaling and squaring: written out."""
    shape, half = flow.shape[:-1], velocity.shape[:-1]
    u = velocity / 16
    for _ in range(4):
        u = u + sampled(u, grid(half) + u)
    ratio = (np.array(shape) - 1) / (np.array(half) - 1)
    u = sampled(u, grid(shape) / ratio) * ratio
    return u + sampled(flow, grid(shape) + u)


def loss_by_scipy(moving, fixed, flow, weight):
    """Mean squared difference and diffusion, written out."""
    similarity = np.mean((sampled(moving.astype("float64"), grid(flow.shape[:-1]) + flow) - fixed) ** 2)
    diffusion = np.mean([np.mean(np.diff(flow.astype("float64"), axis=axis) ** 2) for axis in range(flow.shape[-1])])
    return similarity, diffusion, similarity + weight * diffusion


def test_the_first_step_goes_by_the_learning_rate_against_the_slope(model, shifted):
    # Adam's first step is the sign of the gradient; here that of difference quotients of a loss that SciPy computes.
    # The start is between voxels, because linear interpolation has no slope at them.
    (moving, fixed), start = shifted(), zero() + np.float32([0.3, 0.6])
    flow, history = refine_flow(model, moving, fixed, start, steps=1, learning_rate=0.01)
    assert history["best"] == 1
    wide, slope = start.astype("float64"), np.zeros((9, 11, 2))
    for place in np.ndindex(slope.shape):
        nudge = np.zeros(slope.shape)
        nudge[place] = 1e-4
        up, down = (loss_by_scipy(moving, fixed, corrected_by_scipy(wide, sign * nudge), 0.01)[2] for sign in (1, -1))
        slope[place] = up - down
    expected = corrected_by_scipy(wide, -0.01 * np.sign(slope))
    assert np.abs(expected - start).max() > 0.01
    np.testing.assert_allclose(flow, expected, atol=1e-4)


def test_steps_are_those_of_keras_adam(model, shifted):
    moving, fixed = shifted()
    velocity = tf.Variable(tf.zeros((1, 9, 11, 2)))
    adam = keras.optimizers.Adam(0.05, epsilon=1e-8)
    for _ in range(4):
        with tf.GradientTape() as tape:
            flow = corrected(tf.zeros((1, *SHAPE, 2)), velocity)
            loss = tf.reduce_mean(
                (ds.layers.warp(moving[None], flow) - fixed[None]) ** 2
            ) + 0.01 * ds.losses.Diffusion()(flow, flow)
            loss *= np.prod(SHAPE)
        adam.apply([tape.gradient(loss, velocity)], [velocity])
    expected = corrected(tf.zeros((1, *SHAPE, 2)), velocity)[0]
    flow, history = refine_flow(model, moving, fixed, zero(), steps=4, learning_rate=0.05)
    assert history["best"] == 4 and np.abs(flow).max() > 0.1
    # Where the gradient crosses zero, its rounding decides on the sign of the first step: a few voxels may differ.
    assert np.quantile(np.abs(flow - expected), 0.95) < 1e-4


@pytest.mark.parametrize(("shape", "int_steps"), [(SHAPE, 0), ((10, 12, 11), 0), ((10, 12, 11), 2)])
def test_a_shift_that_the_network_misses_is_recovered_to_half_a_voxel(model, untrained, shifted, shape, int_steps):
    moving, fixed = shifted(shape, shift=2)
    model = model if shape == SHAPE else untrained(shape=shape, int_steps=int_steps)
    start = predicted(model, moving, fixed)
    assert np.abs(start).max() < 0.1  # untrained, and 2 voxels away
    flow, history = refine_flow(model, moving, fixed, start, steps=60)
    inner = (slice(3, -3),) * len(shape)
    assert np.abs(flow[inner].mean(tuple(range(len(shape)))) - 2).max() < 0.5
    assert history["loss"][history["best"]] < 0.2 * history["loss"][0]
    assert flow.dtype == np.float32 and flow.shape == (*shape, len(shape))
    assert ds.metrics.folding_fraction(flow) == 0


def test_with_integration_the_network_s_own_velocity_goes_on(integrating, shifted):
    moving, fixed = shifted()
    start = predicted(integrating, moving, fixed)
    flow, history = refine_flow(integrating, moving, fixed, start, steps=5, learning_rate=0.01)
    assert np.abs(start).max() > 1 and history["loss"][history["best"]] < history["loss"][0]
    assert 0 < np.abs(flow - start).mean() < 0.2 * np.abs(start).mean()  # it did not begin anew
    assert ds.metrics.folding_fraction(flow) <= ds.metrics.folding_fraction(start)


def test_the_history_starts_at_the_loss_that_keras_evaluates(integrating, shifted):
    moving, fixed = shifted()
    evaluated = integrating.evaluate({"moving": moving[None], "fixed": fixed[None]}, return_dict=True, verbose=0)
    _, history = refine_flow(integrating, moving, fixed, predicted(integrating, moving, fixed), steps=0)
    assert {name: len(history[name]) for name in evaluated} == {"loss": 1, "similarity": 1, "regularizer": 1}
    assert evaluated["regularizer"] > 1e-4
    for name, value in evaluated.items():
        assert history[name][0] == pytest.approx(value, rel=1e-5)


def test_the_flow_is_the_one_of_the_best_step(model, shifted):
    moving, fixed = shifted()
    flow, history = refine_flow(model, moving, fixed, zero(), steps=12, learning_rate=0.2)
    at_best = [history[name][history["best"]] for name in ("similarity", "regularizer", "loss")]
    np.testing.assert_allclose(loss_by_scipy(moving, fixed, flow, 0.01), at_best, rtol=1e-3)
    assert len(history["loss"]) == 13 and history["best"] > 0


def test_a_lower_loss_that_folds_is_not_taken(model, texture):
    moving, fixed = texture(SHAPE, count=2, smooth=1.0)  # nothing alike, and little that holds the flow together
    flow, history = refine_flow(model, moving, fixed, zero(), steps=20, learning_rate=1.0, tolerance=0.0)
    assert ds.metrics.folding_fraction(flow) == 0
    assert history["loss"][history["best"]] > min(history["loss"])
    # a start that folds may be left for one that folds as much
    folded = np.random.default_rng(0).normal(size=(*SHAPE, 2), scale=1.5).astype("float32")
    better, history = refine_flow(model, moving, fixed, folded, steps=20, learning_rate=0.3, tolerance=0.0)
    assert history["best"] > 0 and 0 < ds.metrics.folding_fraction(better) <= ds.metrics.folding_fraction(folded)


def test_nothing_better_gives_the_start_back(model, shifted):
    moving, _ = shifted()
    flow, history = refine_flow(model, moving, moving, zero(), steps=30, learning_rate=1.0)
    np.testing.assert_array_equal(flow, zero())
    assert history["best"] == 0 and len(history["loss"]) == 11  # it stopped after `patience` steps without a gain


def test_it_stops_where_the_last_steps_gained_less_than_the_tolerance(model, shifted):
    moving, fixed = shifted()
    losses = refine_flow(model, moving, fixed, zero(), steps=100, tolerance=0.0)[1]["loss"]
    early = refine_flow(model, moving, fixed, zero(), steps=100, patience=5, tolerance=0.1)[1]["loss"]
    lowest = np.minimum.accumulate(losses)
    expected = next(t for t in range(5, 101) if 1 - lowest[t] / lowest[t - 5] <= 0.1)
    assert 5 < expected < 100 and early == losses[: expected + 1]


def test_features_are_warped_where_the_loss_does_so_and_nothing_of_the_model_changes(untrained, shifted, extractor):
    loss = ds.losses.DeepSim(extractor, warp="features")
    (moving, fixed), model = shifted(shift=1), untrained(loss)
    variables = [
        *model.variables,
        *model.optimizer.variables,
        *extractor.variables,
        *(v for m in model.metrics for v in m.variables),
    ]
    before = [v.numpy().copy() for v in variables]
    copies = moving.copy(), fixed.copy(), zero()
    flow, history = refine_flow(model, *copies, steps=10)
    assert history["loss"][history["best"]] < 0.9 * history["loss"][0] and history["best"] > 0
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    for array, value in zip(copies, (moving, fixed, zero()), strict=True):
        np.testing.assert_array_equal(array, value)
    again, second = refine_flow(model, moving, fixed, zero(), steps=10)
    np.testing.assert_array_equal(again, flow)
    assert second == history
