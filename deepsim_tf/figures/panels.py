"""What the figures of images share: cutting volumes, a grid of panels, the deformation."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from deepsim_tf.figures.shown import grey_window, shown, with_channels


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


def pictures_of(images):
    """The pictures of the images, (h, w) or (h, w, 3), as floats, and the window to `show` them in.

    The window is set by `fixed` and `moving`, or `warped`: one for all, so that a difference in brightness between the
    images stays visible.

    Args:
        images: dict of images, see `shown.with_channels`, "fixed" among them; volumes are cut in the middle.

    Raises:
        ValueError: an image on another grid than `fixed`.
    """
    grid = with_channels(images["fixed"], "fixed").shape[:-1]
    pictures = {name: picture_of(array, name, grid) for name, array in images.items()}
    return pictures, grey_window(pictures["moving" if "moving" in images else "warped"], pictures["fixed"])


def picture_of(image, name, grid=None):
    """An image, or the middle slice of a volume, as a picture (h, w) or, in colour, (h, w, 3), of floats."""
    return shown(_middle(with_channels(image, name, grid), 4)).astype(float)


def plane(array, name, shape):
    """A map or labels (h, w[, 1]), or the middle slice of (d, h, w[, 1]) -> (h, w).

    Raises:
        ValueError: it is not on the grid (h, w) of the fixed image.
    """
    array = np.asarray(array)
    cut = _middle(array[..., 0] if array.ndim > 2 and array.shape[-1] == 1 else array, 3)
    if cut.shape != shape:
        expected = f"{shape} or (d, {shape[0]}, {shape[1]}), with or without a last axis of 1"
        raise ValueError(
            f"{name} needs the grid of the fixed image. Expected: {expected}. Received: {array.shape}. Drop the batch"
            " axis."
        )
    return cut


def points_of(flow, name, shape):
    """(h, w, 2) or the in-plane part of the middle slice of (d, h, w, 3) -> p + flow(p), (h, w, 2)."""
    flow = np.asarray(flow)
    cut = _middle(flow, 4)[..., 1:] if flow.ndim == 4 else flow
    if cut.shape != (*shape, 2):
        expected = f"{(*shape, 2)} or (d, {shape[0]}, {shape[1]}, 3)"
        raise ValueError(
            f"{name} needs one displacement a pixel. Expected: {expected}. Received: {flow.shape}. Drop the batch axis."
        )
    return np.moveaxis(np.indices(shape), 0, -1) + cut


def draw_grid(axis, points, count=24):
    """Draws a regular grid, about `count` lines to the longer side, at points (h, w, 2), where the flow moves it."""
    spacing = max(1, round(max(points.shape[:2]) / count))
    xy = points[..., ::-1]
    lines = [*xy[::spacing], *xy[:, ::spacing].swapaxes(0, 1)]
    axis.add_collection(LineCollection(lines, colors="0.15", linewidths=0.6))
    axis.set_aspect("equal")


def _middle(array, axes):
    """The middle slice along the first axis of an array with as many axes as a volume has, else the array."""
    return array[array.shape[0] // 2] if array.ndim == axes else array
