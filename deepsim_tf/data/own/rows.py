"""The CSV files of the user's own data: columns, paths and splits."""

import difflib
import os
from pathlib import Path
from typing import NamedTuple

from deepsim_tf.data.pairing import SPLITS
from deepsim_tf.data.sources import Source, files_of
from deepsim_tf.formats import read_table

KINDS = {  # required columns: the columns of each image, its labels and its landmarks
    ("moving", "fixed"): (
        ("moving", "moving_labels", "moving_landmarks"),
        ("fixed", "fixed_labels", "fixed_landmarks"),
    ),
    ("image",): (("image", "labels", "landmarks"),),
}
COLUMNS = (*(column for roles in KINDS.values() for role in roles for column in role), "split")
EXPECTED = (
    "Expected moving, fixed and optionally moving_labels, fixed_labels, moving_landmarks, fixed_landmarks, split;"
    " or image and optionally labels, landmarks, split"
)


class Row(NamedTuple):
    """One line of the file: its images (one, or moving and fixed), its split and landmarks."""

    images: tuple  # of Sources
    split: str | None
    line: int
    landmarks: tuple = ()  # of paths, one an image; empty where there are none


def read_rows(path, found):
    """The rows of a CSV file; problems of single rows go to `found`, and these rows are left out.

    Raises:
        ValueError: a file that cannot be read as a whole: missing, empty, or with other columns.
    """
    path = Path(path)
    table = read_table(path, EXPECTED)
    absent = [column for column in COLUMNS if column not in table]
    for column in table.columns:
        near = difflib.get_close_matches(str(column).strip().lower(), absent, n=1, cutoff=0.8)
        if column not in COLUMNS and near:
            raise ValueError(f"{path} has a column {column!r}. Did you mean {near[0]!r}? {EXPECTED}.")
    kinds = [kind for kind in KINDS if set(kind) <= set(table.columns)]
    if len(kinds) != 1:
        raise ValueError(f"{path} has the columns {', '.join(map(str, table.columns))}. {EXPECTED}.")
    roles = KINDS[kinds[0]]
    for what, columns in zip(("labels", "landmarks"), list(zip(*roles))[1:]):
        given = [column for column in columns if column in table]
        if given and len(given) < len(columns):
            raise ValueError(f"{path} has the column {given[0]} alone. Expected {what} of both images, or of none.")
        foreign = [
            column for column in table.columns if column in COLUMNS and column.endswith(what) and column not in columns
        ]
        if foreign:  # it would be left out without a word
            raise ValueError(f"{path} has the column {foreign[0]} beside {', '.join(kinds[0])}. {EXPECTED}.")
    roles = [[column if column in table else None for column in role] for role in roles]
    if table.empty:
        raise ValueError(f"{path} has no row below its header. Expected one image or pair in a row.")
    rows, lines = [], {}
    for line, cells in enumerate(table.to_dict("records"), start=2):
        if not any(cells.values()):  # a blank line
            continue
        with found.caught():
            row = _row(path, line, cells, roles)
            first = lines.setdefault((row.images, row.split), line)
            if first != line:
                raise ValueError(
                    f"{path}, line {line}: repeats line {first}. Expected each image or pair once in a split: remove"
                    " one of them."
                )
            rows.append(row)
    return rows


def _row(path, line, cells, roles):
    split = cells.get("split")
    if split is not None and split not in SPLITS:
        raise ValueError(f"{path}, line {line}: unknown split {split!r}. Available: {', '.join(SPLITS)}.")
    images, landmarks = [], []
    for role in roles:
        for column in filter(None, role):
            if not cells[column]:
                which = (
                    "landmarks of all rows or of none" if column.endswith("landmarks") else "label all images or none"
                )
                raise ValueError(f"{path}, line {line}: the column {column} is empty. Expected a file; {which}.")
        image_column, labels_column, landmarks_column = role
        files, [labels], [points] = (
            [None] if column is None else _files(path, line, column, cells[column], several=column == image_column)
            for column in (image_column, labels_column, landmarks_column)
        )
        name = ";".join(Path(os.path.relpath(file, path.parent)).as_posix() for file in files)
        images.append(Source(name, files[0], labels, further=tuple(files[1:])))
        landmarks += [points] if points else []
    return Row(tuple(images), split, line, tuple(landmarks))


def _files(path, line, column, cell, *, several):
    """The files of a cell: one, or, where there may be several, those of an image's channels, separated by `;`."""
    files = files_of(cell, path.parent) if several else [path.parent / cell]
    for file in files:
        if not os.path.isfile(file):  # False too for a name that no system takes, where Path.is_file raises OSError
            raise ValueError(f"{path}, line {line}: no file {file} ({column}). Paths count from the CSV file's folder.")
    if len(set(files)) < len(files):
        raise ValueError(
            f"{path}, line {line}: {cell} ({column}) names a file twice. Expected a file for each channel."
        )
    return files
