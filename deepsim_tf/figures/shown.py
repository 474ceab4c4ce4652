"""How an image is shown: three channels as RGB, else the first channel, in one window of intensities for a pair."""

import numpy as np

from deepsim_tf import checks

IMAGES = "(h, w, channels) or (d, h, w, channels), or without channels"


def with_channels(image, name, grid=None):
    """An image as an array (*spatial, channels).

    Args:
        image: (h, w), (h, w, channels), (d, h, w) or (d, h, w, channels). The last of three axes is the channels where
            the grid has two, or, without a grid, where it has at most four entries.
        name: of the image, for the error.
        grid: the spatial shape, where it is known.

    Raises:
        ValueError: another number of axes, or another grid.
    """
    array = np.asarray(image)
    ndim = checks.spatial_axes(array) if grid is None else len(grid)
    found = array if array.ndim == ndim + 1 else array[..., None]
    if found.ndim not in (3, 4) or (grid is not None and found.shape[:-1] != tuple(grid)):
        problem, expected = "cannot be drawn", IMAGES
        if grid is not None:
            problem, expected = "needs the grid of the fixed image", f"{tuple(grid)}, with or without channels"
        raise ValueError(f"{name} {problem}. Expected: {expected}. Received: {array.shape}. Drop the batch axis.")
    return found


def shown(image):
    """What is drawn of an image (*spatial, channels): all three channels, as RGB, or the first one, (*spatial)."""
    return image if image.shape[-1] == 3 else image[..., 0]


def grey(picture):
    """A picture (h, w) as it is, and one in colour, (h, w, 3), as the mean over its colours."""
    return picture.mean(axis=-1) if picture.ndim == 3 else picture


def grey_window(*pictures):
    """What `imshow` takes to show pictures in grey, from their 0.5 to their 99.5 % quantile."""
    low, high = np.percentile(np.concatenate([picture.ravel() for picture in pictures]), (0.5, 99.5))
    return {"cmap": "gray", "vmin": low, "vmax": high}


def show(axis, picture, window, **arguments):
    """`axis.imshow` of a picture in grey, or in colour: one window for all of its channels."""
    if picture.ndim == 3:
        picture = in_window(picture, window)
    axis.imshow(picture, **window, **arguments)


def in_window(picture, window):
    """Intensities from 0 to 1, from the lower to the upper end of a window, clipped."""
    low, high = window["vmin"], window["vmax"]
    return np.clip((picture - low) / max(high - low, 1e-12), 0, 1)
