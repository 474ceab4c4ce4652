"""Dice of each class, where the mean over the classes hides which ones gain."""

import re
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deepsim_tf.figures.drawing import check, columns, legend, looks, save
from deepsim_tf.metrics.table import heading

PER_COLUMN = 20  # classes under one another; more stand side by side


def dice_per_class(pairs, stem, *, title=None, names=None, background=False):
    """Draws each method's Dice of each class.

    The mean over the pairs as a marker, on a bar from the lower to the upper quartile.

    Args:
        pairs: pairs.csv as a DataFrame with the columns method and dice_<class>, by number (0 to 1). Pairs where a
            class is absent (NaN) are left out of its mean; a class that no pair has is left out of the figure.
        stem: where to write, without the ending.
        title: text above the figure, or None.
        names: dict from class number to name, or the names in a sequence, background first. Default: "class 3".
        background: whether class 0 is drawn.

    Returns:
        The two paths written.

    Raises:
        ValueError: if a column is missing or no class has a Dice.
    """
    return save(_draw_dice_per_class, stem, pairs, title, names, background)


def _draw_dice_per_class(pairs, title, names=None, background=False):
    table = columns(pairs, ("method",), "the Dice of each class", "pairs.csv")
    names = names if isinstance(names, Mapping) else dict(enumerate(names or ()))
    classes = sorted(int(column[5:]) for column in map(str, table) if re.fullmatch(r"dice_\d+", column))
    classes = [c for c in classes if (c or background) and table[f"dice_{c}"].notna().any()]
    foreground = "" if background else " of a class other than the background (0)"
    check(
        classes,
        "the Dice of each class",
        f"a column dice_<number>{foreground} with a Dice",
        f"the columns {', '.join(map(str, table))}",
    )
    methods = looks(table["method"])
    blocks = np.array_split(classes, -(-len(classes) // PER_COLUMN))
    pitch = 0.13 if len(blocks) == 1 else 0.075  # inches between two methods
    rows = len(blocks[0])
    space = 0.12 / (0.12 + pitch * len(methods))  # the part of a class's height that separates it from the next
    height = rows * (0.12 + pitch * len(methods))
    figure = Figure(
        figsize=((6.4, 7.4, 11)[min(len(blocks), 3) - 1], height + (1.2 if title else 0.9)), layout="constrained"
    )
    axes = figure.subplots(1, len(blocks), sharex=True, squeeze=False)[0]
    for axis, block in zip(axes, blocks, strict=True):
        for n, (method, look) in enumerate(methods.items()):
            values = [table.loc[table["method"] == method, f"dice_{c}"].dropna().to_numpy() for c in block]
            places = np.arange(len(block)) + ((n + 0.5) / len(methods) - 0.5) * (1 - space)
            quartiles = [np.percentile(dice, (25, 75)) if len(dice) else (np.nan, np.nan) for dice in values]
            axis.hlines(places, *np.transpose(quartiles), color=look["color"], linewidth=1.2)
            means = [dice.mean() if len(dice) else np.nan for dice in values]
            axis.plot(means, places, **{**look, "linestyle": ""}, markersize=5 if len(blocks) == 1 else 4, label=method)
        for place in range(1, len(block), 2):
            axis.axhspan(place - 0.5, place + 0.5, color="0.95", zorder=0, linewidth=0)
        axis.set(
            ylim=(rows - 0.5, -0.5), xlabel=heading("dice")
        )  # first class on top; a shorter last block keeps the scale
        axis.set_yticks(range(len(block)), [names.get(int(c), f"class {c}") for c in block])
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", color="0.85", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.xaxis.set_major_locator(MaxNLocator(5))
    low, high = axes[0].get_xlim()
    axes[0].set_xlim(max(low, -0.02), min(high, 1.01))
    legend(
        figure,
        *axes[0].get_legend_handles_labels(),
        title,
        per_row=(5, 6, 9)[min(len(blocks), 3) - 1],
        handletextpad=0.2,
    )
    figure.supxlabel("markers: means over the pairs; bars: lower to upper quartile", fontsize=8, color="0.3")
    return figure
