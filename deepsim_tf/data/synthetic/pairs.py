"""Synthetic pairs with a known flow, for demonstrations and tests without any download."""

import functools
import itertools

import numpy as np
from scipy import ndimage

from deepsim_tf.checks import known
from deepsim_tf.data.image_set import ImageSet
from deepsim_tf.data.pairing import SPLITS
from deepsim_tf.data.synthetic import scenes

# kind: scene, classes, size, background, noise, largest displacement and smoothness of the flow as fractions of the
# smallest side, and the texture's strength per class.
KINDS = {
    "platelet": (scenes.platelet, 3, (128, 128), 0.74, 0.1, 0.05, 0.16, (0.02, 0.06, 0.03)),
    "cells": (scenes.cells, 2, (128, 128), 0.4, 0.1, 0.08, 0.2, (0.035, 0.08)),
    "brain": (scenes.brain, 6, (48, 56, 48), 0.0, 0.05, 0.09, 0.2, (0.0, 0.03, 0.02, 0.01, 0.02, 0.04)),
}
LEAST_DETERMINANT = 0.25  # of the flow's Jacobian: no folds, and no near-folds either


def synthetic(kind, split, *, size=None, count=16, noise=None, channels=1, seed=0):
    """`count` pairs of one kind; image 2k is moving, image 2k + 1 fixed, and `true_flow(k)` is known.

    fixed anatomy = moving anatomy o true_flow. Every scene has its own anatomy and its own smooth,
    fold-free flow, drawn from (seed, kind, split, k): splits never share a scene. The two images of a
    pair differ in more than the flow, as real pairs do: independent noise, gain, offset and a gentle bias
    field, a texture of which only a part moves along, and a few small structures, labelled as well,
    that the other image lacks.

    Nothing here is made for one loss. Brightness changes cost MSE, noise and the texture that stays cost
    every intensity measure, unmatched structures cost all. How much each costs is a choice of
    this file, so results on these pairs show that a method works, not which loss is best on real data.

    Args:
        kind: "platelet" (2-D electron microscopy: background, cytoplasm, organelles), "cells" (2-D
            phase contrast: background, cell) or "brain" (3-D, skull-stripped: background, cortex, white
            matter, ventricles, deep grey matter, cerebellum).
        split: "train", "val" or "test".
        size: the grid's shape in voxels, at least 32 on each axis; (128, 128) or (48, 56, 48) by default.
            Structures scale with the smallest side.
        count: number of pairs.
        noise: standard deviation of the Gaussian noise (the classes are about 0.2 apart); 0.1 in 2-D
            and 0.05 in 3-D by default. Changing it changes nothing else.
        channels: number of images of each scene, as of several stains or MR sequences: channel c shows the
            contrast (1 + cos(pi c x)) / 2 of the first one's x, with noise, gain and bias field of its own.
        seed: non-negative integer.

    Returns:
        ImageSet of 2 * count images in [0, 1].

    Raises:
        ValueError: unknown kind or split, or an argument outside its range.

    Example:
        >>> images = ds.data.synthetic("cells", "val", count=4)
        >>> len(images), images.pairs()[:2], images.true_flow(0).shape
        (8, [(0, 1), (2, 3)], (128, 128, 2))
    """
    known("kind", kind, KINDS)
    known("split", split, SPLITS)
    _, classes, default_size, _, default_noise, *_ = KINDS[kind]
    size = default_size if size is None else size
    if (
        not isinstance(size, (tuple, list))
        or len(size) != len(default_size)
        or not all(_is_integer(n, 32) for n in size)
    ):
        raise ValueError(
            f"size must be {len(default_size)} integers from 32 for kind {kind!r}. Received: size={size!r}."
        )
    for name, value, least in (("count", count, 1), ("channels", channels, 1), ("seed", seed, 0)):
        if not _is_integer(value, least):
            raise ValueError(f"{name} must be an integer from {least}. Received: {name}={value!r}.")
    noise = default_noise if noise is None else noise
    if not isinstance(noise, (int, float)) or not 0 <= noise < np.inf:
        raise ValueError(f"noise must be a standard deviation from 0. Received: noise={noise!r}.")
    size = tuple(int(n) for n in size)

    @functools.lru_cache(maxsize=1)  # moving and fixed are asked for one after the other
    def scene(k):
        return _pair(kind, size, noise, channels, [seed, list(KINDS).index(kind), SPLITS.index(split), k])

    return ImageSet(
        lambda i: scene(i // 2)[i % 2],
        [f"{k:04d}/{role}" for k in range(count) for role in ("moving", "fixed")],
        name=f"synthetic-{kind}",
        split=split,
        classes=classes,
        shape=size,
        channels=channels,
        spacing=(1.0,) * len(size),
        intensity="none",
        pairs=[(2 * k, 2 * k + 1) for k in range(count)],
        true_flow=lambda k: scene(k)[2],
    )


def _pair(kind, size, noise, channels, seed):
    """`(moving image, labels), (fixed image, labels), true flow` of one scene."""
    build, _, _, background, _, displacement, smoothness, texture = KINDS[kind]
    random, noise_random = np.random.default_rng(seed), np.random.default_rng([*seed, 1])
    side = min(size)
    blobs, extras = build(random, np.asarray(size, float))
    flow = _smooth_flow(random, size, displacement * side, smoothness * side)
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in size], indexing="ij"))  # (ndim, *size)
    reach = np.abs(flow).max()
    shared = _field(random, size, 1.2)
    images = []
    for extra, points in zip(extras, (grid, grid + np.moveaxis(flow, -1, 0)), strict=True):
        image, labels = scenes.paint(blobs + extra, points, background, reach)
        # Half of the texture's variance moves along with the anatomy, half is the image's own.
        moved = shared if points is grid else ndimage.map_coordinates(shared, points, order=3, mode="reflect")
        image += (
            np.take(np.asarray(texture, np.float32), labels)
            * (moved + _field(random, size, 1.2))
            * np.float32(0.5**0.5)
        )
        scans = [_scan(image, noise, random, noise_random)]
        for channel in range(1, channels):
            own = np.random.default_rng([*seed, 2, len(images), channel])  # the first channel stays what it is
            scans.append(_scan((1 + np.cos(np.pi * channel * image)) / 2, noise, own, own))
        image = np.stack(scans, axis=-1)
        if kind == "brain":
            image[labels == 0] = 0  # skull-stripped after the scan: the outside holds no noise
        images.append((np.clip(image, 0, 1).astype(np.float32), labels))
    return *images, flow


def _scan(image, noise, random, noise_random):
    """An image (*size) with the gain, offset, bias field and noise of one scan."""
    gain, offset = random.uniform(0.88, 1.12), random.uniform(-0.04, 0.04)
    image = image * gain * (1 + 0.05 * _field(random, image.shape, min(image.shape) / 4)) + offset
    return image + noise * noise_random.standard_normal(image.shape, np.float32)


def _field(random, size, sigma):
    """A smooth random field of unit variance.

    Gaussian bumps of `sigma` voxels and random height, half a sigma apart.
    """
    weights = [_bumps(n, sigma) for n in size]
    field = random.standard_normal([w.shape[1] for w in weights], np.float32)
    for axis_weights in weights:  # a Gaussian is separable
        field = np.tensordot(field, axis_weights, (0, 1))  # the front axis goes, its fine version comes last
    return field


@functools.lru_cache(maxsize=32)
def _bumps(n, sigma):
    """Weights (n, bumps) of the bumps at each voxel of an axis; rows of unit length keep the field's variance at 1."""
    spacing, margin = max(1.0, sigma / 2), 3 * sigma
    centres = np.arange(-margin, n - 1 + margin + spacing, spacing)
    weights = np.exp(-0.5 * ((np.arange(n)[:, None] - centres) / sigma) ** 2)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def _smooth_flow(random, size, displacement, sigma):
    """A smooth flow (*size, ndim) of at most `displacement` voxels, less where it would fold."""
    flow = np.stack([_field(random, size, sigma) for _ in size], -1)
    # Saturating: without it, a field whose peak has `displacement` voxels hardly moves anything elsewhere.
    flow *= displacement / np.sqrt(1 + (flow**2).sum(-1, keepdims=True))
    while _determinant(flow).min() < LEAST_DETERMINANT:
        flow *= np.float32(0.9)
    return flow


def _determinant(flow):
    """det(I + grad flow) at each voxel, by central differences."""
    ndim = flow.shape[-1]
    gradient = [[np.gradient(flow[..., i], axis=j) + (i == j) for j in range(ndim)] for i in range(ndim)]
    # Leibniz's formula: np.linalg.det on a stack of small matrices is ten times slower.
    total = 0.0
    for order in itertools.permutations(range(ndim)):
        sign = np.linalg.det(np.eye(ndim)[list(order)])
        total = total + sign * np.prod([gradient[i][j] for i, j in enumerate(order)], axis=0)
    return total


def _is_integer(value, least):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least
