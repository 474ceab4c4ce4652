"""Figure 3 of the paper: the distribution of Dice over the pairs."""

import numpy as np
from matplotlib.figure import Figure

from deepsim_tf.figures.drawing import COLOURS, HATCHES, check, columns, save


def dice_boxplot(pairs, stem, *, title=None):
    """Draws the distribution of the pairs' mean Dice, one box per method, "identity" first.

    Args:
        pairs: pairs.csv as a DataFrame with the columns method and dice (mean over the classes, 0 to 1). Pairs without a Dice are left out.
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
    methods = sorted(table["method"].unique(), key=lambda method: method != "identity")  # stable: the others keep the table's order
    check(methods, "pairs", "at least one pair")
    values = [table.loc[table["method"] == method, "dice"].dropna().to_numpy() for method in methods]
    for method, dice in zip(methods, values, strict=True):
        check(len(dice), f"method {method!r}", "a Dice for at least one pair; evaluate on images with labels")
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
