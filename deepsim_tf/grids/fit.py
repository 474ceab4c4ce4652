"""Images of any size on one grid; `fit_graph` has the same as TensorFlow operations."""

import numpy as np
from skimage.transform import downscale_local_mean
from skimage.transform import resize as skimage_resize

from deepsim_tf.grids.sampling import centres

FITS = ("pad", "resample")


def parse_fit(fit):
    """(how, factor) of the name of a fit: "pad", "resample", or "pad:2" (padded, then averaged over blocks of side 2).

    Raises:
        ValueError: unknown name.
    """
    how, _, factor = str(fit).partition(":")
    if how in FITS and (not factor or (how == "pad" and factor.isdigit() and int(factor) > 0)):
        return how, int(factor or 1)
    raise ValueError(f"Unknown fit {fit!r}. Available: pad, pad:FACTOR, resample.")


def fit_image(image, shape, fit):
    """An image (*spatial, channels) on a grid of `shape`, (*shape, channels).

    Args:
        fit: `"pad"` puts it in the centre, continues its border values and crops what sticks out; `"pad:FACTOR"` does
            so on a grid FACTOR times finer and averages blocks; `"resample"` stretches it (averages over blocks where
            they divide, else linear with anti-aliasing).
    """
    how, factor = parse_fit(fit)
    if how == "resample":
        return _resampled(image, shape)
    padded = _centred(image, [n * factor for n in shape], "edge")
    return padded if factor == 1 else block_mean(padded, factor)


def fit_labels(labels, shape, fit):
    """Labels (*spatial) on a grid of `shape`: background around them, or nearest neighbour; see `fit_image`."""
    how, factor = parse_fit(fit)
    if how == "resample":
        nearest = [np.clip(np.floor(centres(m, n) + 0.5).astype(int), 0, n - 1) for n, m in zip(labels.shape, shape)]
        return labels[np.ix_(*nearest)]
    padded = _centred(labels, [n * factor for n in shape], "constant")
    return padded if factor == 1 else block_centre(padded, factor)


def to_grid(shape, grid, fit):
    """Scale and offset, per axis, of the map from an image's voxels to the grid's."""
    how, factor = parse_fit(fit)
    if how == "resample":
        scale = np.divide(grid, shape)
        return scale, (scale - 1) / 2  # half-pixel centres
    before = np.array([_before(n, m * factor) for n, m in zip(shape, grid)])
    return np.full(len(grid), 1 / factor), (before - (factor - 1) / 2) / factor


def block_mean(array, factor):
    """Mean over blocks of factor^ndim voxels, remainders cropped; the last axis holds channels."""
    for axis, n in enumerate(array.shape[:-1]):
        # (.., n, ..) -> (.., n // factor, factor, ..) -> mean over the block
        array = array.take(range(n // factor * factor), axis)
        array = array.reshape(*array.shape[:axis], n // factor, factor, *array.shape[axis + 1 :]).mean(axis + 1)
    return array


def block_centre(labels, factor):
    """The sample nearest to the centre of each block, remainders cropped."""
    return labels[tuple(slice(factor // 2, n // factor * factor, factor) for n in labels.shape)]


def _before(size, target):
    """Voxels added before an axis (negative: cropped) to centre `size` voxels on `target`."""
    return (target - size) // 2


def _centred(array, shape, mode):
    for axis, target in enumerate(shape):
        before = _before(array.shape[axis], target)
        after = target - array.shape[axis] - before
        if before < 0 or after < 0:
            array = array.take(range(max(-before, 0), array.shape[axis] - max(-after, 0)), axis)
        array = np.pad(
            array, [(max(before, 0), max(after, 0)) if d == axis else (0, 0) for d in range(array.ndim)], mode=mode
        )
    return array


def _resampled(image, shape):
    size = image.shape[:-1]
    if size == tuple(shape):
        return image
    if all(n % m == 0 for n, m in zip(size, shape, strict=True)):
        return downscale_local_mean(image, (*np.floor_divide(size, shape), 1)).astype(np.float32)
    whole = (*shape, image.shape[-1])
    return skimage_resize(image, whole, order=1, mode="edge", anti_aliasing=True).astype(np.float32)
