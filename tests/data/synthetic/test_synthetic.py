import numpy as np
import pytest
from skimage.metrics import structural_similarity

from deepsim_tf.data import synthetic
from deepsim_tf.layers import warp

SIZES = {"platelet": (96, 96), "cells": (96, 80), "brain": (48, 56, 48)}


def dice(a, b, classes):
    return np.mean([2 * np.sum((a == c) & (b == c)) / max(1, np.sum(a == c) + np.sum(b == c)) for c in range(classes)])


@pytest.mark.parametrize("kind", SIZES)
def test_a_scene_has_its_format(kind):
    data = synthetic(kind, "train", size=SIZES[kind], count=2)
    assert len(data) == 4 and data.pairs() == [(0, 1), (2, 3)] and data.names[3] == "0001/fixed"
    image, labels = data[3]
    assert (image.dtype, image.shape, labels.dtype, labels.shape) == (
        np.float32,
        (*SIZES[kind], 1),
        np.int32,
        SIZES[kind],
    )
    assert image.min() >= 0 and image.max() <= 1 and set(np.unique(labels)) == set(range(data.classes))


@pytest.mark.parametrize(("kind", "least"), [("platelet", 0.94), ("cells", 0.95), ("brain", 0.92)])
def test_the_true_flow_maps_moving_to_fixed_labels(kind, least):
    # Not to 1: unmatched structures, and outlines rounded to voxels, which cost small 3-D structures most.
    data = synthetic(kind, "val", size=SIZES[kind], count=3)
    before, after = [], []
    for k in range(3):
        _, _, moving, fixed = data.pair(k)
        warped = warp(moving[None, ..., None], data.true_flow(k)[None], interpolation="nearest")[0, ..., 0].numpy()
        before.append(dice(moving, fixed, data.classes))
        after.append(dice(warped, fixed, data.classes))
    assert np.mean(after) > least and np.mean(after) - np.mean(before) > 0.1 and 0.55 < np.mean(before) < 0.85


@pytest.mark.parametrize("kind", SIZES)
def test_the_true_flow_does_not_fold(kind):
    flow = synthetic(kind, "train", size=SIZES[kind], count=1).true_flow(0)
    ndim = flow.shape[-1]
    jacobian = np.stack(
        [np.stack(np.gradient(flow[..., i], axis=tuple(range(ndim))), -1) for i in range(ndim)], -2
    ) + np.eye(ndim)
    assert flow.dtype == np.float32 and flow.shape == (*SIZES[kind], ndim)
    assert np.linalg.det(jacobian).min() > 0.2


def test_the_same_seed_is_the_same_scene_and_splits_never_share_one():
    first = synthetic("cells", "train", size=(64, 64), count=3)
    np.testing.assert_array_equal(first[2][0], synthetic("cells", "train", size=(64, 64), count=2)[2][0])
    others = [
        first[0],
        synthetic("cells", "val", size=(64, 64))[0],
        synthetic("cells", "train", size=(64, 64), seed=1)[0],
    ]
    for other in others:
        assert np.mean(other[1] != first[2][1]) > 0.05


def test_noise_changes_noise_only():
    clean, noisy = (synthetic("platelet", "test", size=(96, 96), count=2, noise=noise) for noise in (0.0, 0.1))
    np.testing.assert_array_equal(clean[3][1], noisy[3][1])
    np.testing.assert_array_equal(clean.true_flow(1), noisy.true_flow(1))
    difference = noisy[3][0] - clean[3][0]
    assert abs(difference.std() - 0.1) < 0.015 and abs(difference.mean()) < 0.02
    assert (
        abs(np.corrcoef(difference.ravel(), (noisy[2][0] - clean[2][0]).ravel())[0, 1]) < 0.05
    )  # each image has its own


def test_without_noise_the_true_flow_still_leaves_a_difference():
    data = synthetic("platelet", "train", size=(96, 96), count=1, noise=0)
    moving, fixed = data.pair(0)[:2]
    warped = warp(moving[None], data.true_flow(0)[None])[0].numpy()
    before, after = (structural_similarity(image[..., 0], fixed[..., 0], data_range=1) for image in (moving, warped))
    assert before + 0.1 < after < 0.95


def test_a_brain_is_skull_stripped():
    image, labels = synthetic("brain", "train", size=(32, 40, 32), count=1)[0]
    assert not image[labels == 0].any() and image[labels > 0].mean() > 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "liver"}, "Unknown kind 'liver'. Available: platelet, cells, brain"),
        ({"split": "dev"}, "Unknown split 'dev'. Available: train, val, test"),
        ({"size": (64, 64, 64)}, "size must be 2 integers"),
        ({"count": 0}, "count must be an integer from 1"),
        ({"noise": -1}, "noise must be"),
        ({"seed": -1}, "seed must be an integer from 0"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthetic(**{"kind": "cells", "split": "train"} | arguments)
