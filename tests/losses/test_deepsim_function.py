"""Equation 1 on feature pyramids."""

import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf.losses import cosine_map, deepsim

SHAPES = {"level_1": (6, 7, 4), "level_2": (3, 4, 8), "level_3": (2, 2, 5)}


def pyramid(rng, batch=3, dtype="float64"):
    return {level: rng.normal(size=(batch, *shape)).astype(dtype) for level, shape in SHAPES.items()}


def reference(features_fixed, features_warped, eps=1e-6):
    """Equation 1, voxel by voxel in NumPy, for one pair: dicts of (*spatial, channels)."""
    levels = []
    for level, fixed in features_fixed.items():
        cosines = []
        for p in np.ndindex(fixed.shape[:-1]):
            a, b = fixed[p], features_warped[level][p]
            cosines.append(a @ b / (np.sqrt(max(a @ a, eps)) * np.sqrt(max(b @ b, eps))))
        levels.append(np.mean(cosines))
    return 1 - np.mean(levels)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 1e-6)])
def test_deepsim_is_equation_1(dtype, tolerance, rng):
    fixed, warped = pyramid(rng, dtype=dtype), pyramid(rng, dtype=dtype)
    expected = [reference({k: f[i] for k, f in fixed.items()}, {k: f[i] for k, f in warped.items()}) for i in range(3)]
    loss = deepsim(fixed, warped)
    assert loss.dtype == dtype
    np.testing.assert_allclose(loss, expected, atol=tolerance)


def test_deepsim_of_volumes_is_equation_1(rng):
    fixed, warped = (
        {"level_1": rng.normal(size=(1, 3, 4, 2, 6)), "level_2": rng.normal(size=(1, 2, 2, 1, 3))} for _ in range(2)
    )
    np.testing.assert_allclose(
        deepsim(fixed, warped)[0], reference({k: f[0] for k, f in fixed.items()}, {k: f[0] for k, f in warped.items()})
    )


def test_two_voxels_by_hand():
    # cosines: (3 * 4 + 4 * 3) / (5 * 5) = 24/25, and 0 for orthogonal vectors; 1 - (24/25 + 0) / 2 = 0.52
    fixed = {"level_1": np.array([[[[3.0, 4.0], [1.0, 0.0]]]])}
    warped = {"level_1": np.array([[[[4.0, 3.0], [0.0, 2.0]]]])}
    np.testing.assert_allclose(deepsim(fixed, warped), [0.52], atol=1e-12)


def test_every_level_weighs_the_same_whatever_its_size():
    # 100 voxels that agree and 1 that disagrees: cosines 1 and -1, a mean over levels of 0
    fixed = {"level_1": np.ones((1, 10, 10, 3)), "level_2": np.ones((1, 1, 1, 7))}
    warped = {"level_1": np.ones((1, 10, 10, 3)), "level_2": -np.ones((1, 1, 1, 7))}
    np.testing.assert_allclose(deepsim(fixed, warped), [1.0], atol=1e-12)


def test_deepsim_is_symmetric(rng):
    a, b = pyramid(rng), pyramid(rng)
    np.testing.assert_allclose(deepsim(a, b), deepsim(b, a), atol=1e-14)


def test_the_scale_of_features_does_not_matter(rng):
    a, b = pyramid(rng), pyramid(rng)
    scaled = {
        level: f * rng.uniform(0.5, 20, (*f.shape[:-1], 1)) for level, f in b.items()
    }  # another factor at each voxel
    np.testing.assert_allclose(deepsim(a, scaled), deepsim(a, b), atol=1e-12)


def test_deepsim_goes_from_0_for_equal_features_to_2_for_opposite_ones(rng):
    a, b = pyramid(rng), pyramid(rng)
    np.testing.assert_allclose(deepsim(a, a), np.zeros(3), atol=1e-12)
    np.testing.assert_allclose(deepsim(a, {level: -f for level, f in a.items()}), np.full(3, 2.0), atol=1e-12)
    assert np.all((deepsim(a, b) > 0.5) & (deepsim(a, b) < 1.5))


def test_zero_features_score_zero_even_against_themselves():
    zeros = {"level_1": np.zeros((2, 4, 4, 3))}
    np.testing.assert_array_equal(deepsim(zeros, zeros), [1.0, 1.0])


def test_squared_norms_are_clamped_at_one_millionth_by_hand():
    # a = b = (3e-4, 4e-4): |a|^2 = 2.5e-7, below 1e-6, so cos = 2.5e-7 / (1e-3 * 1e-3) = 0.25
    # a = (6e-4, 8e-4), b = (1, 0): |a|^2 = 1e-6, not below, so cos = 6e-4 / (1e-3 * 1) = 0.6
    a = np.array([[[[3e-4, 4e-4], [6e-4, 8e-4]]]])
    b = np.array([[[[3e-4, 4e-4], [1.0, 0.0]]]])
    np.testing.assert_allclose(cosine_map(a, b), [[[0.25, 0.6]]], rtol=1e-9)


def test_zero_mean_is_numpys_correlation(rng):
    a, b = rng.normal(2, 1, (1, 3, 4, 6)), rng.normal(-1, 1, (1, 3, 4, 6))
    expected = [[np.corrcoef(a[0, i, j], b[0, i, j])[0, 1] for j in range(4)] for i in range(3)]
    np.testing.assert_allclose(cosine_map(a, b, zero_mean=True)[0], expected, atol=1e-12)
    np.testing.assert_allclose(
        deepsim({"level_1": a}, {"level_1": b}, zero_mean=True)[0], 1 - np.mean(expected), atol=1e-12
    )


@pytest.mark.parametrize("zero_mean", [False, True])
def test_the_gradient_is_that_of_finite_differences(zero_mean, rng):
    fixed, warped, step = pyramid(rng, batch=1), {k: tf.constant(f) for k, f in pyramid(rng, batch=1).items()}, 1e-6
    with tf.GradientTape() as tape:
        tape.watch(warped)
        loss = deepsim(fixed, warped, zero_mean=zero_mean)[0]
    for level, gradient in tape.gradient(loss, warped).items():
        direction = rng.normal(size=gradient.shape)
        ends = [
            deepsim(fixed, {**warped, level: warped[level] + s * step * direction}, zero_mean=zero_mean)[0]
            for s in (1, -1)
        ]
        np.testing.assert_allclose(
            tf.reduce_sum(gradient * direction), (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-9
        )


def test_the_gradient_is_finite_where_features_are_zero():
    warped = tf.zeros((1, 2, 2, 3))
    with tf.GradientTape() as tape:
        tape.watch(warped)
        loss = deepsim({"level_1": tf.ones((1, 2, 2, 3))}, {"level_1": warped})
    # d/db of <a, b> / (|a| 1e-3) over 4 voxels: -(1 / sqrt 3) / 1e-3 / 4
    np.testing.assert_allclose(tape.gradient(loss, warped), np.full((1, 2, 2, 3), -1e3 / np.sqrt(3) / 4), rtol=1e-5)


def test_masked_voxels_do_not_count(rng):
    fixed, warped = {"level_0": rng.normal(size=(2, 4, 6, 3))}, {"level_0": rng.normal(size=(2, 4, 6, 3))}
    mask = (rng.random((2, 4, 6)) > 0.5).astype("float64")
    expected = [1 - cosine_map(fixed["level_0"], warped["level_0"]).numpy()[k][mask[k] == 1].mean() for k in range(2)]
    np.testing.assert_allclose(deepsim(fixed, warped, weights=mask), expected, atol=1e-12)
    warped["level_0"][mask == 0] = 99.0
    np.testing.assert_allclose(deepsim(fixed, warped, weights=mask), expected, atol=1e-12)


def test_voxel_weights_are_averaged_onto_each_level():
    # cosines 1, 0, 0, -1 of 2 x 2 blocks; weights cover a whole block, a quarter of one, none, and a half: (1 - 0.5) /
    # 1.75
    fixed = {"level_1": np.array([[[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]]])}
    warped = {"level_1": np.array([[[[2.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [-1.0, 0.0]]]])}
    weights = np.array([[[1.0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]])
    np.testing.assert_allclose(deepsim(fixed, warped, weights=weights), [1 - 0.5 / 1.75], atol=1e-12)


@pytest.mark.parametrize("size, level", [(9, (5, 3)), (15, (7, 3)), (7, (3, 1)), (5, (3, 2))])
def test_equal_weights_change_nothing_at_odd_sizes(size, level, rng):
    shapes = {"level_0": size, "level_1": level[0], "level_2": level[1]}
    fixed, warped = ({k: rng.normal(size=(1, n, n, 3)) for k, n in shapes.items()} for _ in range(2))
    np.testing.assert_allclose(
        deepsim(fixed, warped, weights=np.ones((1, size, size))), deepsim(fixed, warped), atol=1e-12
    )


def test_half_precision_is_computed_in_float32(rng):
    # sums of 64 x 64 x 256 products overflow or lose their digits in float16
    a, b = (rng.normal(0, 8, (1, 64, 64, 256)).astype("float16") for _ in range(2))
    half, full = (deepsim({"level_1": a.astype(t)}, {"level_1": b.astype(t)}) for t in ("float16", "float32"))
    assert half.dtype == "float32"
    np.testing.assert_array_equal(half, full)


def test_other_levels_are_refused(rng):
    a = pyramid(rng)
    with pytest.raises(
        ValueError, match=r"compares the same levels. Received: \['level_1', 'level_2', 'level_3'\] and \['level_1'\]"
    ):
        deepsim(a, {"level_1": a["level_1"]})


def test_voxel_weights_land_on_the_voxels_of_their_level_at_odd_sizes():
    # 20 voxels halved three times are 10, 5, 3: the last of the three covers voxels 16 to 19 alone.
    features = np.array([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])[:, :, None]  # (batch, 3, 1, channels)
    other = np.array([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])[:, :, None]
    weights = np.zeros((1, 20, 1))
    weights[:, 16:] = 1
    np.testing.assert_allclose(deepsim({"level_3": features}, {"level_3": other}, weights=weights), [1.0], atol=1e-6)
    np.testing.assert_allclose(
        deepsim({"level_3": features}, {"level_3": other}, weights=1 - weights), [0.0], atol=1e-6
    )
