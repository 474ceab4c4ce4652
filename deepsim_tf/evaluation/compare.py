"""Several runs side by side: measured on the same pairs, with statistics, figures and a report."""

import dataclasses
import os
import pathlib

import numpy as np
import pandas
import rich.console
import rich.table

from deepsim_tf import checks, recipes
from deepsim_tf.evaluation import statistics
from deepsim_tf.evaluation.drawing import draw_comparison, example_pairs
from deepsim_tf.evaluation.measure import evaluate, summarise
from deepsim_tf.evaluation.noise import noise_table
from deepsim_tf.evaluation.report import write_report
from deepsim_tf.files import written_aside
from deepsim_tf.metrics import table as measures
from deepsim_tf.registration.loading import open_solver
from deepsim_tf.training import runs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Background:
    """What a reproduction knows beyond the runs that are compared; each part may be absent.

    Args:
        sweep: table of all weights of all losses, see `studies.sweep`.
        reference: SD log|J| at which the losses are compared.
        matched: dict from method to its Dice there.
        extractors: table of how well the extractors do their own task.
    """

    sweep: pandas.DataFrame | None = None
    reference: float | None = None
    matched: dict | None = None
    extractors: pandas.DataFrame | None = None


def evaluate_runs(folders, *, split="val", out=None, data=None, noise=(), refine=0, background=None, verbose=1):
    """Measure registration runs on the pairs of a split, at the dataset's own resolution, and write what is seen.

    Writes pairs.csv (a row a pair and method), summary.csv (means with 95 % intervals, identity first, and how surely
    the best method beats each other), statistics.csv (tests between all methods), noise.csv where asked for, figures/
    and report.html.

    Args:
        folders: run folders of one dataset.
        split: `"train"`, `"val"` or `"test"`.
        out: folder for the output. Default: the run folder where there is one run, or a folder in it that is named
            after the split where that is not "val", and after the refinement where there is one.
        data: folder of the dataset, where it has moved since the training.
        noise: standard deviations of Gaussian noise, added to both images of each pair, to measure the runs under.
        refine: steps of instance refinement, whose results become a method each, beside those of the networks; 0 for
            none.
        background: see `Background`.
        verbose: 1 shows progress bars and prints the table.

    Returns:
        The summary, a DataFrame.

    Raises:
        ValueError: no run folder, a run of segmentation or without a model, runs of several datasets, or no `out` for
            several runs.
    """
    background = background or Background()
    found = {pathlib.Path(folder): _registration_recipe(folder) for folder in folders}
    if data is not None:
        found = {folder: dataclasses.replace(recipe, data=os.path.abspath(data)) for folder, recipe in found.items()}
    first = _same_dataset(found)
    if out is None and len(found) > 1:
        raise ValueError(f"{len(found)} runs need a folder for their comparison. Pass --out DIR (out=).")
    if (
        out is None
    ):  # the run folder holds the validation; what is measured on another split, or refined, does not replace it
        out = next(iter(found)) / ("" if split == "val" else split) / (f"refine-{refine}" if refine else "")
    out = pathlib.Path(out)
    images = first.native_images(split)
    models = {_method(folder, recipe, found): open_solver(folder) for folder, recipe in found.items()}
    histories = {_method(folder, recipe, found): runs.read_history(folder) for folder, recipe in found.items()}

    identity = evaluate(None, images, verbose=0)
    tables = {"identity": identity}
    for method, model in models.items():
        _say(verbose, f"     {method}: {len(images.pairs())} pairs of {images.name} {split}")
        tables[method] = evaluate(model, images, verbose=verbose)
        if refine:
            _say(verbose, f"     {method}, refined by up to {refine} steps")
            tables[f"{method}, refined"] = evaluate(model, images, refine=refine, verbose=verbose)
    pairs = pandas.concat([table.assign(method=method) for method, table in tables.items()], ignore_index=True)
    pairs.insert(0, "method", pairs.pop("method"))
    summary = summarise(pairs, {method: history["seconds_per_step"].median() for method, history in histories.items()})
    written = {"pairs.csv": pairs}
    if identity["dice"].notna().any():
        summary = statistics.add_intervals(summary, pairs)
        if background.matched:
            summary.insert(list(summary).index("dice") + 1, "dice_matched", summary["method"].map(background.matched))
        written["statistics.csv"] = statistics.compare(pairs)
        summary = statistics.add_best(summary, written["statistics.csv"])
    if len(noise):
        written["noise.csv"] = noise_table({"identity": None, **models}, images, noise, verbose=verbose)
    written["summary.csv"] = summary
    for name, table in written.items():
        with written_aside(out / name) as aside:
            table.to_csv(aside, index=False)

    drawn = draw_comparison(
        out / "figures", images, models, tables, pairs, histories, noise=written.get("noise.csv"), background=background
    )
    unit = recipes.DATASETS[first.dataset].unit
    shown = {
        "Which differences are more than chance (one-sided Wilcoxon, Holm's correction)": written.get("statistics.csv")
    }
    shown |= {
        "All weights of the regulariser": background.sweep,
        "The extractors on their own task": background.extractors,
    }
    write_report(
        out / "report.html",
        title=f"Registration of {images.name}, {split} pairs",
        summary=summary,
        tables={caption: table for caption, table in shown.items() if table is not None},
        figures=drawn,
        pairs=example_pairs(images, models, identity),
        config={str(folder.name): runs.read_config(folder) for folder in found},
        notes=_notes(first, images, split, refine, background),
        unit=unit,
    )
    if verbose:
        print_table(summary, unit)
        _say(verbose, f"Wrote {out}: report.html, figures/, pairs.csv, summary.csv")
    return summary


def print_table(summary, unit="mm"):
    """Print the measures that matter most, a row a method.

    Args:
        summary: summary.csv as a DataFrame.
        unit: of lengths, see `metrics.table.LENGTHS`.
    """
    known = [*measures.MEASURES, *measures.COLUMNS]
    shown = [name for name in known if name in summary and measures.column(name).brief]
    headings = [measures.heading(name, unit) for name in shown]
    table = rich.table.Table("", *headings, box=rich.box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in summary.to_dict("records"):
        cells = [measures.text(name, row[name], unit) if np.isfinite(row[name]) else "-" for name in shown]
        table.add_row(row["method"], *cells)
    rich.console.Console().print(table)


def _registration_recipe(folder):
    recipe = runs.read_recipe(folder)
    if recipe.task != "registration":
        raise ValueError(f"{folder} is a {recipe.task} run. Expected a run of train-registration.")
    if not (pathlib.Path(folder) / "model.keras").is_file():
        raise ValueError(
            f"{folder} holds no model.keras: its training has not ended. The same train-registration command continues"
            " it."
        )
    return recipe


def _same_dataset(found):
    """The first recipe, after a check that all are of one dataset."""
    first = next(iter(found.values()))
    for folder, recipe in found.items():
        checks.known("dataset", recipe.dataset, recipes.DATASETS)
        if (recipe.dataset, recipe.data, recipe.options) != (first.dataset, first.data, first.options):
            received = f"{first.dataset} ({first.data}), and {recipe.dataset} ({recipe.data}) in {folder}"
            raise ValueError(f"Runs of one dataset can be compared. Received: {received}.")
    return first


def _method(folder, recipe, found):
    """The loss's name, with the folder's where two runs share a loss."""
    title = recipes.LOSSES[recipe.loss].title
    return title if sum(other.loss == recipe.loss for other in found.values()) == 1 else f"{title} ({folder.name})"


def _notes(recipe, images, split, refine, background):
    notes = [f"{len(images.pairs())} pairs of the {split} split, at {' x '.join(map(str, images.shape))}."]
    if recipe.downsample > 1:
        resolution = f"Networks work at 1/{recipe.downsample} of the resolution; their flows are scaled up"
        notes.append(f"{resolution}, and everything is measured at the full one.")
    if refine:
        notes.append(
            f"Refined: up to {refine} steps of Adam on each pair, after the network. Examples and sliders show the"
            " networks' own flows."
        )
    notes.append("Dice is the mean over all classes with background that occur in a pair.")
    notes.append(
        "Folds are voxels with a Jacobian determinant of 0 or less; NDV is the volume of the cells that turn over (Liu"
        " et al. 2024)."
    )
    if background.reference is not None:
        matched = (
            f"Dice matched is that of a method's sweep at SD log|J| = {background.reference:.3f}, interpolated"
            " between its weights"
        )
        notes.append(f"{matched}; without a value, the sweep does not reach it.")
    return notes


def _say(verbose, text):
    if verbose:
        print(text, flush=True)
