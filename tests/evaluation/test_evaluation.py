"""Registering pairs on their own grid, and measuring a model on an ImageSet."""

import deepsim_tf as ds  # isort: skip
import numpy as np
import pandas
import pytest

from deepsim_tf.evaluation.measure import summarise
from deepsim_tf.grids.flow import flow_on_images
from deepsim_tf.inference import warp_image, warp_labels


@pytest.fixture(scope="module")
def images():
    return ds.data.synthetic("platelet", "test", size=(32, 32), count=2, noise=0.02)


def dice_by_hand(a, b, classes):
    pairs = [(a == c, b == c) for c in range(classes)]
    return [2 * (p & q).sum() / (p.sum() + q.sum()) for p, q in pairs]


def test_no_model_measures_identity(images):
    table = ds.evaluate(None, images, verbose=0)
    moving_labels, fixed_labels = images.pair(1)[2:]
    expected = dice_by_hand(moving_labels, fixed_labels, 3)
    np.testing.assert_allclose(table.loc[1, ["dice_0", "dice_1", "dice_2"]].astype(float), expected)
    np.testing.assert_allclose(table.loc[1, "dice"], np.mean(expected))
    assert 0.3 < np.mean(expected) < 1
    assert (table[["folds", "sd_log_jacobian", "seconds"]] == 0).all(axis=None)


def test_a_model_of_zero_flow_scores_as_identity_in_a_row_a_pair(images, constant):
    table = ds.evaluate(constant((32, 32), (0, 0)), images, verbose=0)
    columns = ["moving", "fixed", "dice", "dice_0", "dice_1", "dice_2", "accuracy", "hd95", "assd"]
    columns += ["folds", "sd_log_jacobian", "ndv", "seconds"]
    assert list(table.columns) == columns
    assert table[["moving", "fixed"]].to_numpy().tolist() == [
        ["0000/moving", "0000/fixed"],
        ["0001/moving", "0001/fixed"],
    ]
    assert (table["seconds"] > 0).all()
    measured = columns[2:-1]
    pandas.testing.assert_frame_equal(table[measured], ds.evaluate(None, images, verbose=0)[measured])


def test_a_shift_by_one_voxel_scores_as_labels_shifted_by_hand(images, constant):
    table = ds.evaluate(constant((32, 32), (1, 0)), images, verbose=0)
    moving_labels, fixed_labels = images.pair(0)[2:]
    shifted = moving_labels[[*range(1, 32), 31]]  # warped[p] = moving[p + 1], and the border's own value beyond it
    np.testing.assert_allclose(table["dice"][0], np.mean(dice_by_hand(shifted, fixed_labels, 3)))


def test_images_without_labels_have_no_dice():
    image = np.linspace(0, 1, 32 * 32, dtype="float32").reshape(32, 32, 1)
    images = ds.data.ImageSet(
        lambda i: (image, None),
        ["a", "b"],
        name="bare",
        split="test",
        classes=None,
        shape=(32, 32),
        spacing=(1, 1),
        intensity="none",
        pairs=[(0, 1)],
    )
    table = ds.evaluate(None, images, verbose=0)
    assert np.isnan(table["dice"][0]) and np.isnan(table["hd95"][0]) and table["folds"][0] == 0


def test_an_image_set_without_pairs_is_refused():
    image = np.zeros((32, 32, 1), "float32")
    images = ds.data.ImageSet(
        lambda i: (image, None),
        ["a"],
        name="one",
        split="test",
        classes=None,
        shape=(32, 32),
        spacing=(1, 1),
        intensity="none",
        pairs=[],
    )
    with pytest.raises(
        ValueError, match=r"ImageSet\('one', 'test': 1 images \(32, 32\), 0 pairs\) has no pairs to evaluate"
    ):
        ds.evaluate(None, images)


def test_true_flows_beat_identity_through_the_same_functions(images):
    """Independent of any network: warping by the flow that made the pair must raise Dice, and lower the difference."""
    for k in range(2):
        moving, fixed, moving_labels, fixed_labels = images.pair(k)
        flow = images.true_flow(k)
        before = np.nanmean(ds.metrics.dice(fixed_labels, moving_labels, 3))
        after = np.nanmean(ds.metrics.dice(fixed_labels, warp_labels(moving_labels, flow), 3))
        assert after > before + 0.03
        assert np.mean((warp_image(moving, flow) - fixed) ** 2) < np.mean((moving - fixed) ** 2)


def test_a_half_resolution_shift_by_one_is_a_shift_by_two_natively(images, texture, constant):
    half = constant((16, 16), (1, 0))
    moving = texture((32, 32))[0]
    result = ds.register(half, moving, moving)
    np.testing.assert_allclose(result["flow"], np.broadcast_to([2.0, 0.0], (32, 32, 2)), atol=1e-6)
    np.testing.assert_allclose(result["warped"][:-2], moving[2:], atol=1e-6)
    # and `evaluate` measures at the native grid: the same numbers as a native model of that shift.
    measured = ["dice", "hd95", "folds", "sd_log_jacobian"]
    native = ds.evaluate(constant((32, 32), (2, 0)), images, verbose=0)
    pandas.testing.assert_frame_equal(ds.evaluate(half, images, verbose=0)[measured], native[measured])


def test_a_flow_on_a_finer_grid_is_the_same_map_about_half_pixel_centres():
    def flow_at(y, x):  # a smooth map of the unit square, in its own units
        return np.stack(np.broadcast_arrays(0.05 * np.sin(3 * y), 0.04 * np.cos(2 * x + y)), -1)

    def on_grid(n):
        centres = (np.arange(n) + 0.5) / n
        return flow_at(centres[:, None], centres[None]) * n  # voxels of this grid

    fine = flow_on_images(on_grid(32).astype("float32"), (64, 64), (64, 64), "resample")
    inner = (slice(2, -2), slice(2, -2))  # beyond the outermost coarse centres there is nothing to interpolate
    np.testing.assert_allclose(fine[inner], on_grid(64)[inner], atol=0.003)
    # Grids aligned at their corners instead would be off by up to half a coarse voxel: far beyond the tolerance.
    corners = np.linspace(0.5 / 32, 1 - 0.5 / 32, 64)
    assert np.abs(flow_at(corners[:, None], corners[None]) * 64 - on_grid(64))[inner].max() > 0.02


def test_factors_differ_between_axes():
    flow = np.ones((8, 10, 2), "float32")
    scaled = flow_on_images(flow, (24, 20), (24, 20), "resample")
    np.testing.assert_allclose(scaled, np.broadcast_to([3.0, 2.0], (24, 20, 2)), rtol=1e-6)
    assert flow_on_images(flow, (8, 10), (8, 10), "resample") is flow


def test_a_summary_has_the_means_of_each_method_in_order_of_appearance():
    pairs = pandas.DataFrame(
        {
            "method": ["identity", "identity", "DeepSim", "DeepSim"],
            "moving": ["a", "b", "a", "b"],
            "fixed": ["b", "c", "b", "c"],
            "dice": [0.5, 0.7, 0.8, 0.9],
            "hd95": [4.0, 2.0, np.nan, 1.0],
            "folds": [0.0, 0.0, 0.01, 0.03],
            "seconds": [0.0, 0.0, 0.1, 0.1],
        }
    )
    summary = summarise(pairs, {"DeepSim": 0.25})
    expected = pandas.DataFrame(
        {
            "method": ["identity", "DeepSim"],
            "pairs": [2, 2],
            "dice": [0.6, 0.85],
            "hd95": [3.0, 1.0],
            "folds": [0.0, 0.02],
            "seconds_per_step": [np.nan, 0.25],
        }
    )
    pandas.testing.assert_frame_equal(summary, expected)
