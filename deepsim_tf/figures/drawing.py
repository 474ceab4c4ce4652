"""What every figure shares: the look of methods, checks of tables, and writing PNG (150 dpi) and PDF."""

import os
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg

from deepsim_tf.metrics.table import heading

MEAN_DICE = f"{heading('dice')}, mean over the classes"

# The n-th method looks the same in every figure; line style, marker and hatch tell methods apart where colour cannot
# (grey print).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7A5195")
LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "v", "P", "X", "*")
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.5,
}
STYLE["pdf.fonttype"] = 42  # TrueType: journals refuse Type 3


def looks(methods):
    """Dict from method to its look as a line, "identity" (grey) first, each method once."""
    methods = sorted(
        dict.fromkeys(methods), key=lambda method: method != "identity"
    )  # stable: the others keep their order
    found = (
        {"identity": {"color": "0.35", "linestyle": (0, (6, 3)), "marker": "D", "markerfacecolor": "white"}}
        if "identity" in methods
        else {}
    )
    for n, method in enumerate(method for method in methods if method != "identity"):
        # From the eighth on, colours and markers return, and the markers are hollow.
        inside = COLOURS[n % 7] if n < 7 else "white"
        found[method] = {
            "color": COLOURS[n % 7],
            "linestyle": LINES[n % 7],
            "marker": MARKERS[n % 7],
            "markerfacecolor": inside,
        }
    return found


def legend(figure, handles, names, title=None, *, per_row=4, **arguments):
    """A legend above the axes, in rows of about equal length, under the figure's title."""
    rows = -(-len(names) // per_row)
    arguments = {"loc": "outside upper center", "ncols": -(-len(names) // rows), "frameon": False, **arguments}
    figure.legend(handles, names, title=title, title_fontsize=10, **arguments)


def columns(table, names, what, file):
    """The table again, after a check that it has the named columns."""
    for name in names:
        check(
            name in table,
            what,
            f"the column {name!r}, as in {file}",
            f"the columns {', '.join(map(str, table.columns))}",
        )
    return table


def check(ok, what, expected, received="none"):
    """Raise ValueError unless `ok`."""
    if not ok:
        raise ValueError(f"Cannot draw {what}. Expected: {expected}. Received: {received}.")


def save(draw, stem, *inputs):
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
