"""The report of a run.

One self-contained HTML file with the tables, pairs to fade between, the figures and the recipe.
"""

import json
import math
import numbers
import os
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deepsim_tf.figures.pictures import png_uri, slices_of

TEMPLATES = Path(__file__).with_name("templates")
HEADINGS = {
    "method": "Method",
    "pairs": "Pairs",
    "dice": "Dice",
    "folds": "Folds (%)",
    "hd95": "HD95 (mm)",
    "assd": "ASSD (mm)",
    "tre": "TRE (mm)",
    "ndv": "NDV (%)",
    "sd_log_jacobian": "SD log|J|",
    "seconds_per_step": "s / step",
    "seconds": "s / pair",
    "weight": "λ",
    "cohens_d": "Cohen's d",
    "p": "p",
    "p_holm": "p (Holm)",
    "best_p_holm": "best is better: p (Holm)",
    "best_cohens_d": "best is better: Cohen's d",
}
PERCENT = {
    "folds": 100,
    "ndv": 1,
}  # columns in percent, and what makes them so: folds are a fraction, NDV is a percentage already
MAX_CLASSES = 8  # Dice columns of a table; more go into one of their own, collapsed, a row a class


def write_report(path, *, title, summary, figures, config, notes=(), tables=None, pairs=()):
    """Writes a report that opens anywhere: styles, script and pictures are inside the file.

    Args:
        path: the HTML file to write; an existing one is replaced in one step.
        title: heading of the page, plain text.
        summary: summary.csv as a DataFrame, one row per method: method, pairs, dice, dice_<class>, folds (fraction, 0
            to 1), ndv (percent), sd_log_jacobian, seconds_per_step. Every column is shown; the highest value of each
            Dice column is bold. Columns <name>_low and <name>_high, a 95 % interval of the mean, are shown in the
            column <name>; more than 8 dice_<class> in a collapsed table.
        figures: dict from caption to a PNG file.
        config: the resolved recipe, anything `json.dumps` takes (other objects are written as text).
        notes: sentences under the heading, plain text.
        tables: dict from caption to a DataFrame, or None: shown after the summary by the same rules.
        pairs: examples to fade from moving over warped to fixed, each {"name": ..., "moving": image, "warped": {method:
            image}, "fixed": image}. Images are (h, w) or (d, h, w), with or without a last axis of 1; of a volume,
            slices along each axis are shown.

    Returns:
        The path written.

    Raises:
        ValueError: if the summary lacks a column, a figure is not a PNG file, or the images of a pair differ in shape.
    """
    for name in ("method", "dice"):
        if name not in summary:
            received = ", ".join(map(str, summary.columns))
            raise ValueError(
                f"The summary has no column {name!r}. Received: {received}. Pass the table of summary.csv."
            )
    options = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=FileSystemLoader(TEMPLATES), **options)
    page = environment.get_template("report.html.j2").render(
        title=title,
        notes=notes,
        tables=[
            part
            for caption, table in {"Summary": summary, **(tables or {})}.items()
            for part in _tables(caption, table)
        ],
        pairs=[{"name": pair["name"], "slices": slices_of(pair)} for pair in pairs],
        figures={caption: _data_uri(file) for caption, file in figures.items()},
        config=json.dumps(config, indent=2, default=str, ensure_ascii=False),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(page, encoding="utf-8")
    os.replace(aside, path)  # whoever has the old report open never sees half a file
    return path


def _tables(caption, table):
    """The table for the page; where it has many classes, these in a second one, whose rows are the classes."""
    columns = {str(name): table[name].tolist() for name in table}
    classes = [name for name in columns if re.fullmatch(r"dice_(?!low$|high$).+", name)]
    if len(classes) <= MAX_CLASSES:
        return [_table(caption, columns)]
    of_class = {name: columns.pop(name) for name in classes}
    first = next(iter(columns.values()))  # the methods
    rows = [
        [_text(name[5:]), *(_cell("dice", value, _printed_maximum(values)) for value in values)]
        for name, values in of_class.items()
    ]
    folded = {"caption": f"{caption}: Dice of each class", "rows": rows, "folded": True, "intervals": False}
    folded["headings"] = [{"text": text, "words": n == 0} for n, text in enumerate(["Class", *map(str, first)])]
    return [_table(caption, columns), folded]


def _table(caption, columns):
    ends = {
        end
        for name in columns
        for end in (f"{name}_low", f"{name}_high")
        if {f"{name}_low", f"{name}_high"} <= set(columns)
    }
    cells = []
    for name, values in columns.items():
        if name not in ends:
            best = _printed_maximum(values) if name == "dice" or name.startswith("dice_") else None
            column = [_cell(name, value, best) for value in values]
            if f"{name}_low" in ends:
                for cell, low, high in zip(column, columns[f"{name}_low"], columns[f"{name}_high"]):
                    low, high = (_cell(name, end, None)["text"] for end in (low, high))
                    cell["interval"] = f"{low}–{high}" if "–" not in (low, high) else ""
            cells.append(column)
    headings = [
        {"text": _heading(name), "words": _words(values)} for name, values in columns.items() if name not in ends
    ]
    return {
        "caption": caption,
        "headings": headings,
        "rows": list(zip(*cells)),
        "folded": False,
        "intervals": bool(ends),
    }


def _heading(name):
    text = name.replace("_", " ")
    return HEADINGS.get(name) or (f"Dice {text[5:]}" if name.startswith("dice_") else text[:1].upper() + text[1:])


def _words(values):
    return any(isinstance(value, (str, bool)) for value in values)


def _printed_maximum(values):
    """The highest value as it is printed: methods that tie in print are all bold."""
    known = [value for value in values if isinstance(value, numbers.Real) and math.isfinite(value)]
    return f"{max(known):.3f}" if known else None


def _text(text):
    return {"text": text, "sort": None, "best": False, "interval": ""}


def _cell(name, value, best):
    """One table cell.

    Its text, what it is sorted by (None: the text; "": no value, so last), and whether it is the best of its column.
    """
    if isinstance(value, bool):
        return _text("yes" if value else "no")
    if value is None or (isinstance(value, numbers.Real) and not math.isfinite(value)):
        return {**_text("–"), "sort": ""}
    if not isinstance(value, numbers.Real):
        return _text(str(value))
    base = "p" if name.startswith(("p_", "best_p_")) else "dice" if name.startswith("dice_") else name
    if base in PERCENT:
        text = _small(PERCENT[base] * value)
    elif base == "p":
        text = _small(value)
    elif base in ("dice", "sd_log_jacobian"):
        text = f"{value:.3f}"
    elif base == "mean_difference":
        text = f"{value:+.4f}"
    elif base in ("weight", "sigma"):
        text = f"{value:.3g}"  # chosen, not measured: no trailing zeros
    else:
        text = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
    return {
        "text": text.replace("-", "−"),
        "sort": repr(float(value)),
        "best": base == "dice" and text == best,
        "interval": "",
    }


def _small(value):
    return f"{value:.3f}" if value == 0 or value >= 5e-4 else "< 0.001"


def _data_uri(file):
    file = Path(file)
    data = file.read_bytes() if file.is_file() else b""
    if not data.startswith(b"\x89PNG"):
        found = "another kind of file" if data else "no file, or an empty one"
        raise ValueError(
            f"{file} cannot go into the report. Expected: a PNG. Received: {found}. Draw it with deepsim_tf.figures."
        )
    return png_uri(data)
