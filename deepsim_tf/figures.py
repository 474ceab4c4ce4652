"""The figures of the paper, each drawn by one function from explicit inputs and written as PNG (150 dpi) and PDF."""

import os
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import StrMethodFormatter

# The n-th method looks the same in every figure; line style, marker and hatch tell methods apart where colour cannot (grey print).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7A5195")
LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "v", "P", "X", "*")
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")
FIXED_LABELS = {"colors": "#00E5FF", "linestyles": "solid"}
OTHER_LABELS = {"colors": "#FFB000", "linestyles": "dashed"}
STYLE = {"font.size": 9, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False, "hatch.linewidth": 0.5}
STYLE["pdf.fonttype"] = 42  # TrueType: journals refuse Type 3


def convergence(histories, stem, *, identity=None):
    """Draws validation Dice against updates and against training time, one line per method.

    Args:
        histories: dict from method to its history.csv as a DataFrame with the columns step, seconds and val_dice.
            Rows without validation (val_dice is NaN) are skipped.
        stem: where to write, without the ending: `stem`.png and `stem`.pdf.
        identity: mean Dice without registration, drawn as a horizontal line; None leaves it out.

    Returns:
        The two paths written.

    Raises:
        ValueError: if a column is missing or a history holds no validation Dice.
    """
    return _save(_draw_convergence, stem, histories, identity)


def dice_boxplot(pairs, stem, *, title=None):
    """Draws the distribution of the test pairs' mean Dice, one box per method, "identity" first.

    Args:
        pairs: pairs.csv as a DataFrame with the columns method and dice (mean over the classes, 0 to 1). Pairs without a Dice are left out.
        stem: where to write, without the ending.
        title: text above the figure, or None.

    Returns:
        The two paths written.

    Raises:
        ValueError: if a column is missing or a method has no pair with a Dice.
    """
    return _save(_draw_dice_boxplot, stem, pairs, title)


def example_pair(
    stem, *, moving, fixed, warped, flow=None, moving_labels=None, fixed_labels=None, warped_labels=None, differences=False, title=None
):
    """Draws one registered pair: the images, the deformation grid, and the labels before and after.

    Args:
        stem: where to write, without the ending.
        moving, fixed, warped: images, (h, w) or (d, h, w), with or without a last axis of 1. A volume is shown by the middle slice along
            its first axis.
        flow: displacement in voxels, (h, w, 2) or (d, h, w, 3), "ij". Lines are drawn at p + flow(p), the positions sampled in `moving`.
        moving_labels, fixed_labels, warped_labels: integers on the images' grid, 0 is the background. Panels without labels are left out.
        differences: adds |moving - fixed| and |warped - fixed|, on one scale, white where the images agree.
        title: text above the figure, or None.

    Returns:
        The two paths written.

    Raises:
        ValueError: if an array has another shape than `fixed`.
    """
    labels = {"moving_labels": moving_labels, "fixed_labels": fixed_labels, "warped_labels": warped_labels}
    return _save(_draw_example_pair, stem, {"moving": moving, "fixed": fixed, "warped": warped}, flow, labels, differences, title)


def example_methods(
    stem, *, moving, fixed, warped, flow=None, moving_labels=None, fixed_labels=None, warped_labels=None, dice=None, title=None
):
    """Draws one pair under several methods: the warped images with label contours above their deformation grids.

    Args:
        stem: where to write, without the ending.
        moving, fixed: images as in `example_pair`.
        warped: dict from method to the warped image.
        flow: dict from method to its displacement in voxels, or None for no row of grids.
        moving_labels, fixed_labels: integers on the images' grid, or None.
        warped_labels: dict from method to the warped labels, or None.
        dice: dict from method to the pair's Dice, printed under the method's name; the key "identity" is the pair before registration.
        title: text above the figure, or None.

    Returns:
        The two paths written.

    Raises:
        ValueError: if an array has another shape than `fixed`.
    """
    labels = {"moving_labels": moving_labels, "fixed_labels": fixed_labels, **(warped_labels or {})}
    return _save(_draw_example_methods, stem, {"moving": moving, "fixed": fixed, **warped}, flow or {}, labels, dice or {}, title)


def _draw_convergence(histories, identity):
    _check(histories, "histories", "at least one method")
    rows = {}
    for method, table in histories.items():
        what = f"the history of {method!r}"
        rows[method] = _columns(table, ("step", "seconds", "val_dice"), what, "history.csv").dropna(subset="val_dice")
        _check(len(rows[method]), what, "a validation Dice in at least one row; give the training validation images with labels")
    longest = max(table["seconds"].max() for table in rows.values())
    unit, seconds = ("h", 3600) if longest > 7200 else ("min", 60) if longest > 300 else ("s", 1)
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for n, (method, table) in enumerate(rows.items()):
        look = {"color": COLOURS[n % 7], "linestyle": LINES[n % 7], "marker": MARKERS[n % 7], "markersize": 4, "linewidth": 1.4}
        # About eight markers a line, each line's set off from the others', so that they do not hide one another.
        every = max(1, len(table) // 8)
        look["markevery"] = (n * every // len(rows), every)
        axes[0].plot(table["step"], table["val_dice"], label=method, **look)
        axes[1].plot(table["seconds"] / seconds, table["val_dice"], **look)
    for axis in axes:
        if identity is not None:
            axis.axhline(identity, color="0.35", linestyle=(0, (6, 3)), linewidth=1, zorder=1, label="identity")
        axis.grid(axis="y", color="0.9", linewidth=0.6)
        axis.set_xlim(left=0)
    figure.get_layout_engine().set(wspace=0.06)
    axes[0].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes[0].set(xlabel="Updates", ylabel="Validation Dice")
    axes[1].set_xlabel(f"Training time ({unit})")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(len(names), 5), frameon=False, handlelength=3.5)
    return figure


def _draw_dice_boxplot(pairs, title):
    table = _columns(pairs, ("method", "dice"), "pairs", "pairs.csv")
    methods = sorted(table["method"].unique(), key=lambda method: method != "identity")  # stable: the others keep the table's order
    _check(methods, "pairs", "at least one pair")
    values = [table.loc[table["method"] == method, "dice"].dropna().to_numpy() for method in methods]
    for method, dice in zip(methods, values, strict=True):
        _check(len(dice), f"method {method!r}", "a Dice for at least one pair; evaluate on images with labels")
    figure = Figure(figsize=(max(3.2, 1.0 + max(0.85, 0.09 * max(map(len, methods))) * len(methods)), 3.4), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(methods))
    median = {"color": "k", "linewidth": 1.6}
    boxes = axis.boxplot(values, positions=places, widths=0.55, showfliers=False, patch_artist=True, medianprops=median)["boxes"]
    looks = [("white", "")] * ("identity" in methods) + [(COLOURS[n % 7] + "55", HATCHES[n % 7]) for n in range(len(methods))]
    for place, dice, box, (colour, hatch) in zip(places, values, boxes, looks, strict=False):
        box.set(facecolor=colour, hatch=hatch)
        jitter = np.random.default_rng(0).uniform(-0.2, 0.2, len(dice))
        dots = axis.plot(place + jitter, dice, ".", color="0.2", alpha=0.3, markersize=4, markeredgewidth=0)
        mean = axis.plot(place, dice.mean(), "D", color="white", markeredgecolor="k", markersize=5, zorder=4)
        axis.text(place, 1.01, f"{dice.mean():.3f}", transform=axis.get_xaxis_transform(), ha="center", va="bottom")
    axis.set_xticks(places, methods)
    axis.set_ylabel("Dice, mean over the classes")
    axis.grid(axis="y", color="0.9", linewidth=0.6)
    figure.legend([*dots, *mean], ["pair", "mean (printed above)"], loc="outside lower center", ncols=2, frameon=False, handletextpad=0.1)
    figure.suptitle(title, fontsize=10) if title else None
    return figure


def _draw_example_pair(images, flow, labels, differences, title):
    images, window = _images(images)
    shape = images["fixed"].shape
    labels = {name: _plane(array, name, shape) for name, array in labels.items() if array is not None}
    panels = [(name.capitalize(), lambda axis, name=name: axis.imshow(images[name], **window)) for name in images]
    if flow is not None:
        points = _points(flow, "flow", shape)
        panels.append(("Deformation", lambda axis: _grid(axis, points)))
    if differences:
        before, after = (np.abs(images[name] - images["fixed"]) for name in ("moving", "warped"))
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
    figure, axes = _panels(rows, columns, shape, title)
    for axis, (name, draw) in zip(axes.flat, panels, strict=False):
        draw(axis)
        axis.set_title(name)
    if contours:
        _legend(figure, ["fixed labels", ", ".join(contours)])
    return figure


def _draw_example_methods(images, flow, labels, dice, title):
    images, window = _images(images)
    shape = images["fixed"].shape
    labels = {name: _plane(array, f"the labels of {name!r}", shape) for name, array in labels.items() if array is not None}
    columns = ["fixed", "moving", *(name for name in images if name not in ("moving", "fixed"))]
    figure, axes = _panels(2 if flow else 1, len(columns), shape, title)
    for name, axis in zip(columns, axes[0], strict=True):
        others = labels.get({"moving": "moving_labels", "fixed": None}.get(name, name))
        _overlay(axis, images[name], window, labels.get("fixed_labels"), others)
        score = dice.get("identity" if name == "moving" else name)
        text = name.capitalize() if name in ("fixed", "moving") else name
        axis.set_title(text if score is None else f"{text}\nDice {score:.3f}")
    for name, axis in zip(columns, axes[-1], strict=True) if flow else ():
        if name == "moving":
            _grid(axis, _points(np.zeros((*shape, 2)), "flow", shape))
        elif name in flow:
            _grid(axis, _points(flow[name], f"the flow of {name!r}", shape))
    if labels:
        _legend(figure, ["fixed labels", "moving labels, warped by each method"])
    return figure


def _panels(rows, columns, shape, title):
    width = min(2.1, 13 / columns)
    height = width * shape[0] / shape[1]
    figure = Figure(figsize=(columns * width, rows * (height + 0.25) + (0.45 if title else 0.25)), layout="compressed")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.suptitle(title, fontsize=10) if title else None
    return figure, axes


def _overlay(axis, image, window, *labels):
    """Draws the image, and on it the outline of every class but the background: first the fixed, then the other labels."""
    axis.imshow(image, **window)
    for look, array in zip((FIXED_LABELS, OTHER_LABELS), labels, strict=False):
        for value in np.unique(array) if array is not None else ():
            # The lower classes are masked, so that a shared edge is drawn once: a second run of dashes would fill the gaps of the first.
            inside = np.ma.masked_where((array != 0) & (array < value), (array == value).astype(float))
            if value != 0 and inside.min() < inside.max():
                lines = axis.contour(inside, levels=[0.5], linewidths=1.1, **look)
                lines.set_path_effects([withStroke(linewidth=2.0, foreground="#00000090")])


def _grid(axis, points):
    """Draws the lines of a regular grid, about 24 to the longer side, at the points (h, w, 2) that the flow moves them to."""
    height, width = points.shape[:2]
    spacing = max(1, round(max(height, width) / 24))
    xy = points[..., ::-1]
    lines = [*xy[::spacing], *xy[:, ::spacing].swapaxes(0, 1)]
    axis.add_collection(LineCollection(lines, colors="0.15", linewidths=0.6))
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")


def _legend(figure, names):
    edge = [withStroke(linewidth=2.4, foreground="#000000C0")]
    looks = (FIXED_LABELS, OTHER_LABELS)
    handles = [Line2D([], [], color=look["colors"], linestyle=look["linestyles"], path_effects=edge) for look in looks]
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, handlelength=3)


def _images(images):
    fixed = _plane(images["fixed"], "fixed")
    images = {name: _plane(array, name, fixed.shape).astype(float) for name, array in images.items()}
    # One window for all, so that a difference in brightness between the images stays visible.
    low, high = np.percentile(np.stack([images["moving"], images["fixed"]]), (0.5, 99.5))
    return images, {"cmap": "gray", "vmin": low, "vmax": high}


def _plane(array, name, shape=None):
    """(h, w[, 1]) or the middle slice of (d, h, w[, 1]) -> (h, w)."""
    array = np.asarray(array)
    plane = array[..., 0] if array.ndim > 2 and array.shape[-1] == 1 else array
    plane = plane[plane.shape[0] // 2] if plane.ndim == 3 else plane
    if plane.ndim != 2 or (shape and plane.shape != shape):
        expected = f"{shape or '(h, w) or (d, h, w)'}, with or without a last axis of 1"
        raise ValueError(f"{name} needs the grid of the fixed image. Expected: {expected}. Received: {array.shape}. Drop the batch axis.")
    return plane


def _points(flow, name, shape):
    """(h, w, 2) or the in-plane part of the middle slice of (d, h, w, 3) -> p + flow(p), (h, w, 2)."""
    flow = np.asarray(flow)
    plane = flow[flow.shape[0] // 2, ..., 1:] if flow.ndim == 4 else flow
    if plane.shape != (*shape, 2):
        expected = f"{(*shape, 2)} or (d, {shape[0]}, {shape[1]}, 3)"
        raise ValueError(f"{name} needs one displacement a pixel. Expected: {expected}. Received: {flow.shape}. Drop the batch axis.")
    return np.moveaxis(np.indices(shape), 0, -1) + plane


def _columns(table, names, what, file):
    for name in names:
        _check(name in table, what, f"the column {name!r}, as in {file}", f"the columns {', '.join(map(str, table.columns))}")
    return table


def _check(ok, what, expected, received="none"):
    if not ok:
        raise ValueError(f"Cannot draw {what}. Expected: {expected}. Received: {received}.")


def _save(draw, stem, *inputs):
    """Writes aside and renames, so that a killed run never leaves half a figure."""
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = [stem.with_name(f"{stem.name}.{ending}") for ending in ("png", "pdf")]
    with matplotlib.rc_context(STYLE):
        figure = draw(*inputs)
        FigureCanvasAgg(figure)
        for path in written:
            aside = path.with_name(f".{path.name}.part")
            try:
                figure.savefig(aside, format=path.suffix[1:], dpi=150, bbox_inches="tight", pad_inches=0.05)
                os.replace(aside, path)
            finally:
                aside.unlink(missing_ok=True)
    return written
