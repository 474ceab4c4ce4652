"""Accuracy against smoothness of the deformation, for a sweep over the weight of the regulariser."""

import itertools

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deepsim_tf.figures.drawing import MEAN_DICE, check, columns, legend, looks, save
from deepsim_tf.metrics.table import heading, scaled

RING = {
    "linestyle": "",
    "marker": "o",
    "markerfacecolor": "none",
    "markeredgecolor": "k",
    "markersize": 12,
    "markeredgewidth": 1.1,
}
TEXT = 7.5  # points


def smoothness(sweep, stem, *, title=None, reference=None):
    """Draws Dice, and below it the folds, against SD log|J|, a line for each method through its weights.

    Beside each point stands its weight, where there is room. Farther left is smoother.

    Args:
        sweep: DataFrame, one row a method and weight: method, weight (lambda), dice, sd_log_jacobian and folds
            (fraction, 0 to 1), means over the pairs; and optionally chosen (bool), the weight that each method is
            compared at, which gets a ring and stands in the legend.
        stem: where to write, without the ending.
        title: text above the figure, or None.
        reference: SD log|J| that the methods are matched at, drawn as a vertical line, or None.

    Returns:
        The two paths written.

    Raises:
        ValueError: if a column is missing or a method has no row with a Dice.
    """
    return save(_draw_smoothness, stem, sweep, title, reference)


def _draw_smoothness(sweep, title, reference=None):
    needed = ("method", "weight", "dice", "sd_log_jacobian", "folds")
    table = columns(sweep, needed, "the sweep", "a table of the means at each weight")
    methods = looks(table["method"])
    check(methods, "the sweep", "at least one row")
    figure = Figure(figsize=(7.2, 5.6), layout="constrained")
    axis, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    labels = []
    for method, look in methods.items():
        rows = table[table["method"] == method].dropna(subset=["dice", "sd_log_jacobian"]).sort_values("weight")
        check(len(rows), f"method {method!r}", f"a Dice and an {heading('sd_log_jacobian')} for at least one weight")
        chosen = _chosen(rows)
        weights = ", ".join(f"{weight:.3g}" for weight in rows["weight"][chosen])
        label = f"{method} (λ = {weights})" if weights else method
        axis.plot(rows["sd_log_jacobian"], rows["dice"], label=label, markersize=5, linewidth=1.4, **look)
        below.plot(rows["sd_log_jacobian"], scaled("folds", rows["folds"]), markersize=4, linewidth=1.2, **look)
        axis.plot(rows["sd_log_jacobian"][chosen], rows["dice"][chosen], zorder=4, **RING)
        # The chosen weights and the ends of the lines come first when room is short.
        ends = np.isin(np.arange(len(rows)), (0, len(rows) - 1))
        for row, ring, end in zip(rows.to_dict("records"), chosen, ends):
            if not np.isnan(row["weight"]):
                labels.append(
                    (2 * ring + end, (row["sd_log_jacobian"], row["dice"]), f"{row['weight']:.3g}", look["color"])
                )
    axis.set(ylabel=MEAN_DICE)
    below.set(xlabel=f"{heading('sd_log_jacobian')} (smoother to the left)", ylabel=heading("folds"))
    below.set_ylim(bottom=0)
    handles, names = axis.get_legend_handles_labels()
    if _chosen(table).any():
        handles, names = [*handles, Line2D([], [], **RING)], [*names, "chosen weight (its λ in brackets)"]
    if reference is not None:
        lines = [each.axvline(reference, color="k", linestyle=":", linewidth=1.1, zorder=1) for each in (axis, below)]
        handles, names = [*handles, lines[0]], [*names, f"matched {heading('sd_log_jacobian')} = {reference:.3g}"]
    for each in (axis, below):
        each.grid(axis="y", color="0.9", linewidth=0.6)
    legend(figure, handles, names, title, per_row=3, handlelength=3.5)
    figure.supxlabel("numbers beside the points: weight λ of the regulariser", fontsize=8, color="0.3")
    _place(axis, sorted(labels, key=lambda label: -label[0]))
    return figure


def _chosen(rows):
    return (rows["chosen"].fillna(False) if "chosen" in rows else np.zeros(len(rows))).astype(bool)


def _place(axis, labels):
    """Writes each label beside its point where it covers no line, point or other label.

    One without such a place is left out.
    """
    axis.figure.draw_without_rendering()  # settles the layout, and with it where points are on paper
    to_points = 72 / axis.figure.dpi
    taken = np.concatenate(
        [
            _along(axis.transData.transform(line.get_xydata()) * to_points)
            for line in axis.lines
            if len(line.get_xydata())
        ]
    )
    frame = axis.bbox.extents * to_points
    boxes = []
    for urgency, xy, text, colour in labels:
        x, y = axis.transData.transform(xy) * to_points
        half = np.array([0.3 * TEXT * len(text) + 1, 0.45 * TEXT + 0.5])
        gap = 7 if urgency >= 2 else 4  # a ring is wider
        around = [
            (np.cos(a) * (half[0] + gap), np.sin(a) * (half[1] + gap))
            for a in np.radians((90, 270, 0, 180, 45, 315, 135, 225))
        ]
        for dx, dy in around:
            box = np.array([x + dx - half[0], y + dy - half[1], x + dx + half[0], y + dy + half[1]])
            inside = (box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all()
            covers = ((taken > box[:2]) & (taken < box[2:])).all(axis=1).any()
            if (
                inside
                and not covers
                and not any((box[:2] < other[2:]).all() and (other[:2] < box[2:]).all() for other in boxes)
            ):
                break
        else:
            continue
        boxes.append(box)
        axis.annotate(
            text, xy, (dx, dy), textcoords="offset points", ha="center", va="center", fontsize=TEXT, color=colour
        )


def _along(points):
    """Points (n, 2) and the segments between them, sampled every 2 points of the paper -> (m, 2)."""
    pieces = [points[-1:]]
    for start, end in itertools.pairwise(points):
        pieces.append(
            start + np.linspace(0, 1, 2 + int(np.hypot(*(end - start)) / 2), endpoint=False)[:, None] * (end - start)
        )
    return np.concatenate(pieces)
