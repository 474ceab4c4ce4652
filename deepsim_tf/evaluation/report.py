"""The report of a run.

One self-contained HTML file with the tables, pairs to fade between, the figures and the recipe.
"""

import json
import math
import numbers
import os
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deepsim_tf.figures.pictures import png_uri, slices_of
from deepsim_tf.metrics import table as measures

TEMPLATES = Path(__file__).with_name("templates")
MAX_CLASSES = 8  # Dice columns of a table; more go into one of their own, collapsed, a row a class


def write_report(path, *, title, summary, figures, config, notes=(), tables=None, pairs=(), unit="mm"):
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
        unit: of lengths, see `metrics.table.LENGTHS`; the tables hold them in mm.

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
            for part in _tables(caption, table, unit)
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


def _tables(caption, table, unit):
    """The table for the page; where it has many classes, these in a second one, whose rows are the classes."""
    columns = {str(name): table[name].tolist() for name in table}
    classes = [name for name in columns if measures.class_of(name)]
    if len(classes) <= MAX_CLASSES:
        return [_table(caption, columns, unit)]
    of_class = {name: columns.pop(name) for name in classes}
    first = next(iter(columns.values()))  # the methods
    rows = [[_text(_class(name)), *_cells(name, values, unit)] for name, values in of_class.items()]
    what = measures.column(measures.class_of(classes[0])).heading
    folded = {"caption": f"{caption}: {what} of each class", "rows": rows, "folded": True, "intervals": False}
    folded["headings"] = [{"text": text, "words": n == 0} for n, text in enumerate(["Class", *map(str, first)])]
    return [_table(caption, columns, unit), folded]


def _table(caption, columns, unit):
    ends = {
        end
        for name in columns
        for end in (f"{name}_low", f"{name}_high")
        if {f"{name}_low", f"{name}_high"} <= set(columns)
    }
    cells = []
    for name, values in columns.items():
        if name not in ends:
            column = _cells(name, values, unit)
            if f"{name}_low" in ends:
                for cell, low, high in zip(column, columns[f"{name}_low"], columns[f"{name}_high"]):
                    low, high = (_cell(name, end, unit)["text"] for end in (low, high))
                    cell["interval"] = f"{low}–{high}" if "–" not in (low, high) else ""
            cells.append(column)
    headings = [
        {"text": measures.heading(name, unit), "words": _words(values)}
        for name, values in columns.items()
        if name not in ends
    ]
    return {
        "caption": caption,
        "headings": headings,
        "rows": list(zip(*cells)),
        "folded": False,
        "intervals": bool(ends),
    }


def _class(name):
    """The class in the name of a column."""
    return name.removeprefix(f"{measures.class_of(name)}_")


def _words(values):
    return any(isinstance(value, (str, bool)) for value in values)


def _cells(name, values, unit):
    """The cells of a column; those that show its best number are bold, also where methods tie in print."""
    cells = [_cell(name, value, unit) for value in values]
    numbers_of = [float(cell["sort"]) for cell in cells if cell["sort"]]
    if measures.column(name).better == "higher" and numbers_of:
        best = next(cell["text"] for cell in cells if cell["sort"] == repr(max(numbers_of)))
        for cell in cells:
            cell["best"] = cell["text"] == best
    return cells


def _text(text):
    return {"text": text, "sort": None, "best": False, "interval": ""}


def _cell(name, value, unit):
    """One table cell.

    Its text, what it is sorted by (None: the text; "": no value, so last), and whether it is the best of its column.
    """
    if isinstance(value, bool):
        return _text("yes" if value else "no")
    if value is None or (isinstance(value, numbers.Real) and not math.isfinite(value)):
        return {**_text("–"), "sort": ""}
    if not isinstance(value, numbers.Real):
        return _text(str(value))
    return {**_text(measures.text(name, value, unit).replace("-", "−")), "sort": repr(float(value))}


def _data_uri(file):
    file = Path(file)
    data = file.read_bytes() if file.is_file() else b""
    if not data.startswith(b"\x89PNG"):
        found = "another kind of file" if data else "no file, or an empty one"
        raise ValueError(
            f"{file} cannot go into the report. Expected: a PNG. Received: {found}. Draw it with deepsim_tf.figures."
        )
    return png_uri(data)
