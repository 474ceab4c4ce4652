"""The report of a run: one self-contained HTML file with the summary table, the figures and the recipe."""

import base64
import json
import math
import os
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")
HEADINGS = {"method": "Method", "pairs": "Pairs", "dice": "Dice", "folds": "Folds (%)", "hd95": "HD95 (mm)", "sd_log_jacobian": "SD log|J|"}
HEADINGS["seconds_per_step"] = "s / step"


def write_report(path, *, title, summary, figures, config, notes=()):
    """Writes a report that opens anywhere: styles, script and pictures are inside the file.

    Args:
        path: the HTML file to write; an existing one is replaced in one step.
        title: heading of the page, plain text.
        summary: summary.csv as a DataFrame, one row per method: method, pairs, dice, dice_<class>, folds (fraction, 0 to 1),
            sd_log_jacobian, seconds_per_step. Every column is shown; the highest value of each Dice column is bold.
        figures: dict from caption to a PNG file.
        config: the resolved recipe, anything `json.dumps` takes (other objects are written as text).
        notes: sentences under the heading, plain text.

    Returns:
        The path written.

    Raises:
        ValueError: if the summary lacks a column, or a figure is not a PNG file.
    """
    for name in ("method", "dice"):
        if name not in summary:
            received = ", ".join(map(str, summary.columns))
            raise ValueError(f"The summary has no column {name!r}. Received: {received}. Pass the table of summary.csv.")
    options = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=FileSystemLoader(TEMPLATES), **options)
    page = environment.get_template("report.html.j2").render(
        title=title,
        notes=notes,
        headings=[_heading(name) for name in summary],
        rows=[[_cell(name, value, summary[name]) for name, value in row.items()] for row in summary.to_dict("records")],
        figures={caption: _data_uri(file) for caption, file in figures.items()},
        config=json.dumps(config, indent=2, default=str, ensure_ascii=False),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(page, encoding="utf-8")
    os.replace(aside, path)  # whoever has the old report open never sees half a file
    return path


def _heading(name):
    return HEADINGS.get(name) or (f"Dice {name[5:]}" if name.startswith("dice_") else str(name).replace("_", " "))


def _cell(name, value, column):
    """One table cell: its text, what it is sorted by (None: the text; "": no value, so last), and whether it is the best of its column."""
    if isinstance(value, str):
        return {"text": value, "sort": None, "best": False}
    if value is None or not math.isfinite(value):
        return {"text": "–", "sort": "", "best": False}
    if name == "dice" or name.startswith("dice_"):
        text = f"{value:.3f}"
        return {"text": text, "sort": repr(float(value)), "best": text == f"{column.max():.3f}"}
    if name == "folds":
        text = f"{100 * value:.3f}" if value == 0 or value >= 5e-6 else "< 0.001"
    elif name == "sd_log_jacobian":
        text = f"{value:.3f}"
    else:
        text = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
    return {"text": text, "sort": repr(float(value)), "best": False}


def _data_uri(file):
    file = Path(file)
    data = file.read_bytes() if file.is_file() else b""
    if not data.startswith(b"\x89PNG"):
        found = "another kind of file" if data else "no file, or an empty one"
        raise ValueError(f"{file} cannot go into the report. Expected: a PNG. Received: {found}. Draw it with deepsim_tf.figures.")
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")
