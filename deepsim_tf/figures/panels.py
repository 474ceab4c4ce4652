"""What the figures of images share: cutting volumes, one grey window, a grid of panels."""

import numpy as np
from matplotlib.figure import Figure


def panel_axes(rows, columns, shape, title):
    """A figure and its axes (rows, columns), without frames, each in the proportions of an image (h, w)."""
    width = min(2.1, 13 / columns)
    height = width * shape[0] / shape[1]
    figure = Figure(figsize=(columns * width, rows * (height + 0.25) + (0.45 if title else 0.25)), layout="compressed")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.suptitle(title, fontsize=10) if title else None
    return figure, axes


def in_window(images):
    """The planes of the images, as floats, and the grey window that `imshow` takes.

    Set by `fixed` and `moving`, or `warped`.
    """
    fixed = plane(images["fixed"], "fixed")
    images = {name: plane(array, name, fixed.shape).astype(float) for name, array in images.items()}
    # One window for all, so that a difference in brightness between the images stays visible.
    return images, grey_window(images["moving" if "moving" in images else "warped"], images["fixed"])


def grey_window(*images):
    """What `imshow` takes to show images in grey, from their 0.5 to their 99.5 % quantile."""
    low, high = np.percentile(np.stack(images), (0.5, 99.5))
    return {"cmap": "gray", "vmin": low, "vmax": high}


def plane(array, name, shape=None):
    """(h, w[, 1]) or the middle slice of (d, h, w[, 1]) -> (h, w)."""
    array = np.asarray(array)
    cut = array[..., 0] if array.ndim > 2 and array.shape[-1] == 1 else array
    cut = cut[cut.shape[0] // 2] if cut.ndim == 3 else cut
    if cut.ndim != 2 or (shape and cut.shape != shape):
        expected = f"{shape or '(h, w) or (d, h, w)'}, with or without a last axis of 1"
        raise ValueError(
            f"{name} needs the grid of the fixed image. Expected: {expected}. Received: {array.shape}. Drop the batch"
            " axis."
        )
    return cut


def points_of(flow, name, shape):
    """(h, w, 2) or the in-plane part of the middle slice of (d, h, w, 3) -> p + flow(p), (h, w, 2)."""
    flow = np.asarray(flow)
    cut = flow[flow.shape[0] // 2, ..., 1:] if flow.ndim == 4 else flow
    if cut.shape != (*shape, 2):
        expected = f"{(*shape, 2)} or (d, {shape[0]}, {shape[1]}, 3)"
        raise ValueError(
            f"{name} needs one displacement a pixel. Expected: {expected}. Received: {flow.shape}. Drop the batch axis."
        )
    return np.moveaxis(np.indices(shape), 0, -1) + cut
