"""Registering all pairs of a CSV file, one folder a pair; a batch that was killed continues."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import pandas
import tqdm

from deepsim_tf.data.sources import files_of
from deepsim_tf.files import written_aside
from deepsim_tf.formats import read_table, suffix_of
from deepsim_tf.inference.files import REPORT, check_free, check_options, settings_of, write_registration
from deepsim_tf.inference.pair import rule_of
from deepsim_tf.registration.loading import open_solver

EXPECTED = "Expected the columns moving, fixed and optionally name, one pair a row"
SUMMARY = "summary.csv"
NAME = re.compile(r"[^\W.][\w.+=@-]*")  # of a folder: no path, nothing hidden


@dataclasses.dataclass(frozen=True)
class Pair:
    """One row of the CSV file."""

    name: str  # of its folder
    moving: str  # paths, of channels in files of their own separated by ;
    fixed: str


def register_pairs(model, pairs, out, *, refine=0, align="headers", intensity=None, verbose=1):
    """Register all pairs of a CSV file; each gets the folder of `register_files`, `out`/NAME.

    A pair that fails does not stop the others. A pair whose folder is there is taken as done, so that a batch that was
    killed continues with the same command, and one that failed can be repaired and repeated. At the end
    `out`/summary.csv has a row a pair.

    Args:
        model: see `register_files`.
        pairs: CSV file with the columns moving, fixed and optionally name. Paths count from the file's folder. Without
            names, a pair's folder is called MOVING_to_FIXED, after the paths. Channels in files of their own are listed
            as t1.nii.gz;t2.nii.gz.
        out: folder of the folders.
        refine, align, intensity: see `register_files`.
        verbose: 1 shows a progress bar.

    Returns:
        pandas.DataFrame, what summary.csv holds: name, moving, fixed, status ("done" or "failed"), reason, warnings,
            and the numbers.

    Raises:
        ValueError: a CSV file without these columns or rows, with two pairs of one name, or a model that cannot be
            opened.
    """
    out, found = Path(out), read_pairs(pairs)
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file. Choose another folder (--out).")
    check_options(align, intensity)
    opened = open_solver(model)
    rule_of(opened, intensity)
    rows = []
    with tqdm.tqdm(found, desc="register", unit="pair", disable=not verbose, file=sys.stderr) as bar:
        for pair in bar:
            settings = settings_of(model, pair.moving, pair.fixed, refine=refine, align=align, intensity=intensity)
            row = {
                "name": pair.name,
                "moving": pair.moving,
                "fixed": pair.fixed,
                "status": "done",
                "reason": "",
            }

            def warn(sentence, name=pair.name):
                tqdm.tqdm.write(f"{name}: warning: {sentence}", file=sys.stderr)

            try:
                report = _finished(out / pair.name, settings)
                if report is None:
                    check_free(out / pair.name)
                    report = write_registration(opened, pair.moving, pair.fixed, out / pair.name, settings, warn)
                row |= _numbers(report)
            except Exception as error:  # whatever is wrong with one pair, the others are registered
                reason = " ".join(str(error).split()) or type(error).__name__
                row |= {
                    "status": "failed",
                    "reason": reason
                    if isinstance(error, (ValueError, OSError))
                    else f"{type(error).__name__}: {reason}",
                }
            rows.append(row)
    table = pandas.DataFrame(rows)
    with written_aside(out / SUMMARY) as aside:
        table.to_csv(aside, index=False)
    return table


def read_pairs(path):
    """The Pairs of a CSV file.

    Raises:
        ValueError: a file that cannot be read, or has other columns; a row without a path; two pairs of one name.
    """
    path = Path(path)
    table = read_table(path, EXPECTED)
    if not {"moving", "fixed"} <= set(table.columns):
        raise ValueError(f"{path} has the columns {', '.join(map(str, table.columns))}. {EXPECTED}.")
    found, lines = [], {}
    for line, cells in enumerate(table.to_dict("records"), start=2):
        if not any(cells.values()):  # a blank line
            continue
        if not cells["moving"] or not cells["fixed"]:
            raise ValueError(f"{path}, line {line}: a cell is empty. {EXPECTED}.")
        name = cells.get("name") or f"{_stem(cells['moving'])}_to_{_stem(cells['fixed'])}"
        if not NAME.fullmatch(name):
            raise ValueError(
                f"{path}, line {line}: {name!r} cannot name a folder. Expected letters, digits and -_.+=@, in the"
                " column name."
            )
        if lines.setdefault(name.lower(), line) != line:  # some file systems take A and a for one
            raise ValueError(
                f"{path}, line {line}: the pair {name!r} is in line {lines[name.lower()]} too. Give each another, in"
                " the column name."
            )
        images = (";".join(map(str, files_of(cells[role], path.parent))) for role in ("moving", "fixed"))
        found.append(Pair(name, *images))
    if not found:
        raise ValueError(f"{path} lists no pair. {EXPECTED}.")
    return found


def _stem(path):
    """A path, or the first of several, as part of a folder's name: "sub-01/T1.nii.gz" -> "sub-01-T1"."""
    path = files_of(path)[0]
    try:
        name = path.name[: -len(suffix_of(path))]
    except ValueError:  # no image: reading it will say so
        name = path.stem
    parts = [
        part
        for part in (path.parent.parts[-2:] if path.is_absolute() else path.parent.parts)
        if part not in ("..", ".", path.anchor)
    ]
    return re.sub(r"[^\w.+=@-]+", "-", "-".join([*parts, name]))


def _finished(folder, settings):
    """The report of a folder that is done; None where there is none.

    Raises:
        ValueError: it holds another registration.
    """
    path = folder / REPORT
    if not path.is_file():
        return None
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        other = {name: report[name] for name in settings}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} cannot be read. Remove the folder to register the pair again.") from None
    differences = [name for name in settings if other[name] != settings[name]]
    if differences:
        raise ValueError(
            f"{folder} holds another registration, with another {', '.join(differences)}. Choose another folder"
            " (--out), or remove it."
        )
    return report


def _numbers(report):
    """The columns of summary.csv from a report."""
    similarity = report["similarity"] or {}
    return {
        "similarity_before": similarity.get("before"),
        "similarity_after": similarity.get("after"),
        "folds": report["folds"],
        "sd_log_jacobian": report["sd_log_jacobian"],
        "mean_displacement": report["displacement"]["mean"],
        "max_displacement": report["displacement"]["max"],
        "unit": report["displacement"]["unit"],
        "seconds": report["seconds"]["all"],
        "warnings": len(report["warnings"]),
        "doubtful": report["doubtful"],
    }
