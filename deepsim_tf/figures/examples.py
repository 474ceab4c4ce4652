"""Registered pairs: images, label outlines and deformation grids."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from deepsim_tf.figures.drawing import save
from deepsim_tf.figures.panels import draw_grid, panel_axes, pictures_of, plane, points_of
from deepsim_tf.figures.shown import grey, show
from deepsim_tf.metrics.table import heading, text

FIXED_LABELS = {"colors": "#00E5FF", "linestyles": "solid"}
OTHER_LABELS = {"colors": "#FFB000", "linestyles": "dashed"}


def example_pair(
    stem,
    *,
    moving,
    fixed,
    warped,
    flow=None,
    moving_labels=None,
    fixed_labels=None,
    warped_labels=None,
    differences=False,
    title=None,
):
    """Draws one registered pair: the images, the deformation grid, and the labels before and after.

    Args:
        stem: where to write, without the ending.
        moving, fixed, warped: images, (h, w, channels) or (d, h, w, channels), or without channels. A volume is shown
            by the middle slice along its first axis; three channels are shown as RGB, of others the first one.
        flow: displacement in voxels, (h, w, 2) or (d, h, w, 3), "ij". Lines are drawn at p + flow(p), the positions
            sampled in `moving`.
        moving_labels, fixed_labels, warped_labels: integers on the images' grid, 0 is the background. Panels without
            labels are left out.
        differences: adds |moving - fixed| and |warped - fixed|, on one scale, white where the images agree; of RGB the
            mean over the colours.
        title: text above the figure, or None.

    Returns:
        The two paths written.

    Raises:
        ValueError: if an array has another shape than `fixed`.
    """
    labels = {"moving_labels": moving_labels, "fixed_labels": fixed_labels, "warped_labels": warped_labels}
    return save(
        _draw_example_pair, stem, {"moving": moving, "fixed": fixed, "warped": warped}, flow, labels, differences, title
    )


def example_methods(
    stem,
    *,
    moving,
    fixed,
    warped,
    flow=None,
    moving_labels=None,
    fixed_labels=None,
    warped_labels=None,
    dice=None,
    title=None,
):
    """Draws one pair under several methods: the warped images with label contours above their deformation grids.

    Args:
        stem: where to write, without the ending.
        moving, fixed: images as in `example_pair`.
        warped: dict from method to the warped image.
        flow: dict from method to its displacement in voxels, or None for no row of grids.
        moving_labels, fixed_labels: integers on the images' grid, or None.
        warped_labels: dict from method to the warped labels, or None.
        dice: dict from method to the pair's Dice, printed under the method's name; the key "identity" is the pair
            before registration.
        title: text above the figure, or None.

    Returns:
        The two paths written.

    Raises:
        ValueError: if an array has another shape than `fixed`.
    """
    labels = {"moving_labels": moving_labels, "fixed_labels": fixed_labels, **(warped_labels or {})}
    return save(
        _draw_example_methods, stem, {"moving": moving, "fixed": fixed, **warped}, flow or {}, labels, dice or {}, title
    )


def _draw_example_pair(images, flow, labels, differences, title):
    images, window = pictures_of(images)
    shape = images["fixed"].shape[:2]
    labels = {name: plane(array, name, shape) for name, array in labels.items() if array is not None}
    panels = [(name.capitalize(), lambda axis, name=name: show(axis, images[name], window)) for name in images]
    if flow is not None:
        points = points_of(flow, "flow", shape)
        panels.append(("Deformation", lambda axis: _grid(axis, points)))
    if differences:
        before, after = (grey(np.abs(images[name] - images["fixed"])) for name in ("moving", "warped"))
        scale = {"cmap": "gray_r", "vmin": 0, "vmax": np.percentile(before, 99.5)}
        panels.append(("|moving − fixed|", lambda axis: axis.imshow(before, **scale)))
        panels.append(("|warped − fixed|", lambda axis: axis.imshow(after, **scale)))
    contours = []
    for when, name in (("before", "moving_labels"), ("after", "warped_labels")):
        if name in labels and "fixed_labels" in labels:
            contours.append(f"{name.replace('_', ' ')} ({when})")
            both = labels["fixed_labels"], labels[name]
            panels.append((f"Labels {when}", lambda axis, both=both: _overlay(axis, images["fixed"], window, *both)))
    rows = 1 if len(panels) <= 6 else 2
    columns = -(-len(panels) // rows)
    figure, axes = panel_axes(rows, columns, shape, title)
    for axis, (name, draw) in zip(axes.flat, panels, strict=False):
        draw(axis)
        axis.set_title(name)
    if contours:
        _legend(figure, ["fixed labels", ", ".join(contours)])
    return figure


def _draw_example_methods(images, flow, labels, dice, title):
    images, window = pictures_of(images)
    shape = images["fixed"].shape[:2]
    labels = {
        name: plane(array, f"the labels of {name!r}", shape) for name, array in labels.items() if array is not None
    }
    columns = ["fixed", "moving", *(name for name in images if name not in ("moving", "fixed"))]
    figure, axes = panel_axes(2 if flow else 1, len(columns), shape, title)
    for name, axis in zip(columns, axes[0], strict=True):
        others = labels.get({"moving": "moving_labels", "fixed": None}.get(name, name))
        _overlay(axis, images[name], window, labels.get("fixed_labels"), others)
        score = dice.get("identity" if name == "moving" else name)
        title = name.capitalize() if name in ("fixed", "moving") else name
        axis.set_title(title if score is None else f"{title}\n{heading('dice')} {text('dice', score)}")
    for name, axis in zip(columns, axes[-1], strict=True) if flow else ():
        if name == "moving":
            _grid(axis, points_of(np.zeros((*shape, 2)), "flow", shape))
        elif name in flow:
            _grid(axis, points_of(flow[name], f"the flow of {name!r}", shape))
    if labels:
        _legend(figure, ["fixed labels", "moving labels, warped by each method"])
    return figure


def _overlay(axis, image, window, *labels):
    """Draws the image, and on it the outline of every class but the background.

    First the fixed, then the other labels.
    """
    show(axis, image, window)
    for look, array in zip((FIXED_LABELS, OTHER_LABELS), labels, strict=False):
        for value in np.unique(array) if array is not None else ():
            # The lower classes are masked, so that a shared edge is drawn once: a second run of dashes would fill the
            # gaps of the first.
            inside = np.ma.masked_where((array != 0) & (array < value), (array == value).astype(float))
            if value != 0 and inside.min() < inside.max():
                lines = axis.contour(inside, levels=[0.5], linewidths=1.1, **look)
                lines.set_path_effects([withStroke(linewidth=2.0, foreground="#00000090")])


def _grid(axis, points):
    """Draws the deformation at the points (h, w, 2), within the frame of the image."""
    draw_grid(axis, points)
    height, width = points.shape[:2]
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _legend(figure, names):
    edge = [withStroke(linewidth=2.4, foreground="#000000C0")]
    looks = (FIXED_LABELS, OTHER_LABELS)
    handles = [Line2D([], [], color=look["colors"], linestyle=look["linestyles"], path_effects=edge) for look in looks]
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, handlelength=3)
