"""Figure 3 of the paper: the distribution of Dice over the pairs."""

import numpy as np
from matplotlib.figure import Figure

from deepsim_tf.figures.drawing import COLOURS, HATCHES, MEAN_DICE, check, columns, save
from deepsim_tf.metrics.table import text


def dice_boxplot(pairs, stem, *, title=None):
    """Draws the distribution of the pairs' mean Dice, one box per method, "identity" first.

    Several datasets in a panel each.

    Args:
        pairs: pairs.csv as a DataFrame with the columns method and dice (mean over the classes, 0 to 1). Pairs without
            a Dice are left out. With a column dataset, as where several pairs.csv lie one under the other, each dataset
            has a panel.
        stem: where to write, without the ending.
        title: text above the figure, or None.

    Returns:
        The two paths written.

    Raises:
        ValueError: if a column is missing or a method has no pair with a Dice.
    """
    return save(_draw_dice_boxplot, stem, pairs, title)


def _draw_dice_boxplot(pairs, title):
    table = columns(pairs, ("method", "dice"), "pairs", "pairs.csv")
    panels = list(table.groupby("dataset", sort=False)) if "dataset" in table else [(None, table)]
    methods = sorted(
        table["method"].unique(), key=lambda method: method != "identity"
    )  # stable: the others keep the table's order
    check(methods, "pairs", "at least one pair")
    rows, across = -(-len(panels) // 2), min(2, len(panels))
    width = 1.0 + max(0.85, 0.09 * max(map(len, methods))) * len(methods)
    figure = Figure(
        figsize=(max(3.2, width) * (1 if across == 1 else 1.6), 3.4 if rows == 1 else 3.0 * rows), layout="constrained"
    )
    axes = figure.subplots(rows, across, squeeze=False).flat
    registered = [method for method in methods if method != "identity"]
    looks = {method: (COLOURS[n % 7] + "55", HATCHES[n % 7]) for n, method in enumerate(registered)} | {
        "identity": ("white", "")
    }
    for axis, (dataset, rows_of_dataset) in zip(axes, panels, strict=False):
        handles = _draw_boxes(
            axis, rows_of_dataset, {m: looks[m] for m in methods if (rows_of_dataset["method"] == m).any()}
        )
        if dataset is not None:
            axis.set_title(dataset, pad=16, loc="left", fontweight="bold")
            axis.tick_params(axis="x", labelsize=8, rotation=20)
    for axis in list(axes)[len(panels) :]:
        axis.remove()
    figure.legend(
        handles, ["pair", "mean (printed above)"], loc="outside lower center", ncols=2, frameon=False, handletextpad=0.1
    )
    figure.suptitle(title, fontsize=10) if title else None
    return figure


def _draw_boxes(axis, table, looks):
    """One panel; returns what the legend explains: a dot and a mean."""
    values = [table.loc[table["method"] == method, "dice"].dropna().to_numpy() for method in looks]
    for method, dice in zip(looks, values, strict=True):
        check(len(dice), f"method {method!r}", "a Dice for at least one pair; evaluate on images with labels")
    places = np.arange(len(looks))
    median = {"color": "k", "linewidth": 1.6}
    boxes = axis.boxplot(
        values, positions=places, widths=0.55, showfliers=False, patch_artist=True, medianprops=median
    )["boxes"]
    for place, dice, box, (colour, hatch) in zip(places, values, boxes, looks.values(), strict=True):
        box.set(facecolor=colour, hatch=hatch)
        jitter = np.random.default_rng(0).uniform(-0.2, 0.2, len(dice))
        dots = axis.plot(place + jitter, dice, ".", color="0.2", alpha=0.3, markersize=4, markeredgewidth=0)
        mean = axis.plot(place, dice.mean(), "D", color="white", markeredgecolor="k", markersize=5, zorder=4)
        axis.text(
            place, 1.01, text("dice", dice.mean()), transform=axis.get_xaxis_transform(), ha="center", va="bottom"
        )
    axis.set_xticks(places, list(looks))
    axis.set_ylabel(MEAN_DICE)
    axis.grid(axis="y", color="0.9", linewidth=0.6)
    return [*dots, *mean]
