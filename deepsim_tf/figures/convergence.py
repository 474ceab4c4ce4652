"""Figure 2 of the paper: validation Dice during training."""

from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from deepsim_tf.figures.drawing import COLOURS, LINES, MARKERS, check, columns, save
from deepsim_tf.metrics.table import heading


def convergence(histories, stem, *, measure="val_dice", identity=None):
    """Draws validation Dice, or another measure, against updates and against training time, one line per method.

    Args:
        histories: dict from method to its history.csv as a DataFrame with the columns step, seconds and `measure`.
            Rows without validation (where it is NaN) are skipped.
        stem: where to write, without the ending: `stem`.png and `stem`.pdf.
        measure: column to draw, "val_dice" or "val_loss": without labels there is no Dice, and the loss is what
            remains.
        identity: mean Dice without registration, drawn as a horizontal line; None leaves it out.

    Returns:
        The two paths written.

    Raises:
        ValueError: if a column is missing or a history holds no validation Dice.
    """
    return save(_draw_convergence, stem, histories, identity, measure)


def _draw_convergence(histories, identity, measure="val_dice"):
    check(histories, "histories", "at least one method")
    rows, label = {}, heading(measure)[:1].lower() + heading(measure)[1:]  # inside a sentence
    for method, table in histories.items():
        what = f"the history of {method!r}"
        rows[method] = columns(table, ("step", "seconds", measure), what, "history.csv").dropna(subset=measure)
        check(
            len(rows[method]),
            what,
            f"a {label} in at least one row; give the training validation images with labels",
        )
    longest = max(table["seconds"].max() for table in rows.values())
    unit, seconds = ("h", 3600) if longest > 7200 else ("min", 60) if longest > 300 else ("s", 1)
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for n, (method, table) in enumerate(rows.items()):
        look = {
            "color": COLOURS[n % 7],
            "linestyle": LINES[n % 7],
            "marker": MARKERS[n % 7],
            "markersize": 4,
            "linewidth": 1.4,
        }
        # About eight markers a line, each line's set off from the others', so that they do not hide one another.
        every = max(1, len(table) // 8)
        look["markevery"] = (n * every // len(rows), every)
        axes[0].plot(table["step"], table[measure], label=method, **look)
        axes[1].plot(table["seconds"] / seconds, table[measure], **look)
    for axis in axes:
        if identity is not None:
            axis.axhline(identity, color="0.35", linestyle=(0, (6, 3)), linewidth=1, zorder=1, label="identity")
        axis.grid(axis="y", color="0.9", linewidth=0.6)
        axis.set_xlim(left=0)
    figure.get_layout_engine().set(wspace=0.06)
    axes[0].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes[0].set(xlabel="Updates", ylabel=heading(measure))
    axes[1].set_xlabel(f"Training time ({unit})")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(len(names), 5), frameon=False, handlelength=3.5)
    return figure
