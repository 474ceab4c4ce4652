"""Dice on images with added noise."""

import numpy as np
from matplotlib.figure import Figure

from deepsim_tf.figures.drawing import MEAN_DICE, check, columns, legend, looks, save


def noise_robustness(table, stem, *, title=None):
    """Draws Dice against the noise that was added to the images, one line per method.

    Args:
        table: DataFrame with the columns method, sigma (standard deviation of the noise, in units of the intensities)
            and dice (mean over the pairs), and optionally dice_low and dice_high, the ends of its interval, drawn as
            bars; the methods then stand side by side. Rows without a Dice are left out.
        stem: where to write, without the ending.
        title: text above the figure, or None.

    Returns:
        The two paths written.

    Raises:
        ValueError: if a column is missing or a method has no Dice.
    """
    return save(_draw_noise_robustness, stem, table, title)


def _draw_noise_robustness(table, title):
    table = columns(
        table, ("method", "sigma", "dice"), "the robustness to noise", "a table of the mean Dice at each sigma"
    )
    methods = looks(table["method"])
    check(methods, "the robustness to noise", "at least one row")
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    intervals = {"dice_low", "dice_high"} <= set(table)
    # With intervals, the methods are set off sideways, so that the bars of those that agree do not hide one another.
    apart = 0.6 * np.diff(np.unique(table["sigma"])).min(initial=1) / len(methods) if intervals else 0
    for n, (method, look) in enumerate(methods.items()):
        rows = table[table["method"] == method].dropna(subset="dice").sort_values("sigma")
        check(len(rows), f"method {method!r}", "a Dice for at least one sigma")
        places = rows["sigma"] + (n - (len(methods) - 1) / 2) * apart
        axis.plot(places, rows["dice"], label=method, markersize=5, linewidth=1.2, **look)
        if intervals:
            axis.vlines(places, rows["dice_low"], rows["dice_high"], color=look["color"], linewidth=1)
    axis.set(xlabel="Standard deviation of the added noise (units of the intensities)", ylabel=MEAN_DICE)
    axis.grid(axis="y", color="0.9", linewidth=0.6)
    legend(figure, *axis.get_legend_handles_labels(), title, handlelength=3.5)
    return figure
