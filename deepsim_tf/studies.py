"""Several runs side by side: tables, figures and the report of a comparison, and the demo."""

import dataclasses
import os
import pathlib

import numpy as np
import pandas
import rich.console
import rich.table

from deepsim_tf import figures, recipes, runs, training
from deepsim_tf.evaluation import evaluate, register, summarise, warp_labels
from deepsim_tf.files import written_aside
from deepsim_tf.models.feature_extractor import load_model
from deepsim_tf.report import write_report

DEMO = ("mse", "ncc", "deepsim")


def demo(out, *, reduced=False, verbose=1):
    """The main job on synthetic, noisy microscopy; runs that are there already are continued or kept.

    Args:
        out: folder for the runs (segmentation, mse, ncc, deepsim) and their comparison.
        reduced: a few steps only.
        verbose: as in keras.Model.fit.

    Returns:
        The summary, a DataFrame: identity first, then a row a loss.
    """
    out = pathlib.Path(out)
    changes = {"epochs": 2, "steps_per_epoch": 4} if reduced else {}
    dataset = "synthetic-platelet"
    _say(verbose, "1/3  Train a segmentation U-Net; its frozen encoder will be the similarity")
    training.train_segmentation(recipes.segmentation(dataset, "cpu", **changes), out / "segmentation", verbose=verbose)
    for number, loss in enumerate(DEMO, start=1):
        _say(verbose, f"2/3  Train a registration network with {recipes.LOSSES[loss].title} ({number} of {len(DEMO)})")
        extractor = out / "segmentation" if loss == "deepsim" else None
        training.train_registration(recipes.registration(dataset, "cpu", loss, extractor=extractor, **changes), out / loss, verbose=verbose)
    _say(verbose, "3/3  Evaluate on unseen pairs")
    return evaluate_runs([out / loss for loss in DEMO], split="test", out=out, verbose=verbose)


def evaluate_runs(folders, *, split="val", out=None, data=None, verbose=1):
    """Measure registration runs on the pairs of a split, at the dataset's own resolution, and write what is seen.

    Writes pairs.csv (a row a pair and method), summary.csv (means, identity first), figures/ and report.html.

    Args:
        folders: run folders of one dataset.
        split: `"train"`, `"val"` or `"test"`.
        out: folder for the output. Default: the run folder where there is one run, or a folder in it that is named after
            the split where that is not "val".
        data: folder of the dataset, where it has moved since the training.
        verbose: 1 shows progress bars and prints the table.

    Returns:
        The summary, a DataFrame.

    Raises:
        ValueError: no run folder, a run of segmentation or without a model, runs of several datasets, or no `out` for several runs.
    """
    found = {pathlib.Path(folder): _registration_recipe(folder) for folder in folders}
    if data is not None:
        found = {folder: dataclasses.replace(recipe, data=os.path.abspath(data)) for folder, recipe in found.items()}
    first = next(iter(found.values()))
    for folder, recipe in found.items():
        if (recipe.dataset, recipe.data) != (first.dataset, first.data):
            received = f"{first.dataset} ({first.data}), and {recipe.dataset} ({recipe.data}) in {folder}"
            raise ValueError(f"Runs of one dataset can be compared. Received: {received}.")
    if out is None and len(found) > 1:
        raise ValueError(f"{len(found)} runs need a folder for their comparison. Pass --out DIR (out=).")
    if out is None:  # the run folder holds the validation; what is measured on another split does not replace it
        out = next(iter(found)) / ("" if split == "val" else split)
    out = pathlib.Path(out)
    images = first.native_images(split)
    models = {_method(folder, recipe, found): load_model(folder) for folder, recipe in found.items()}
    histories = {_method(folder, recipe, found): pandas.read_csv(folder / "history.csv") for folder, recipe in found.items()}

    tables = {"identity": evaluate(None, images, verbose=0)}
    for method, model in models.items():
        _say(verbose, f"     {method}: {len(images.pairs())} pairs of {images.name} {split}")
        tables[method] = evaluate(model, images, verbose=verbose)
    pairs = pandas.concat([table.assign(method=method) for method, table in tables.items()], ignore_index=True)
    pairs.insert(0, "method", pairs.pop("method"))
    seconds = {method: history["seconds_per_step"].median() for method, history in histories.items()}
    summary = summarise(pairs, seconds)
    for name, table in (("pairs.csv", pairs), ("summary.csv", summary)):
        with written_aside(out / name) as aside:
            table.to_csv(aside, index=False)
    drawn = _draw(out / "figures", images, models, tables, pairs, histories)
    write_report(
        out / "report.html",
        title=f"Registration of {images.name}, {split} pairs",
        summary=summary,
        figures=drawn,
        config={str(folder.name): runs.read_config(folder) for folder in found},
        notes=_notes(first, images, split),
    )
    if verbose:
        print_table(summary)
        _say(verbose, f"Wrote {out}: report.html, figures/, pairs.csv, summary.csv")
    return summary


def print_table(summary):
    """Print Dice, folds and training time, a row a method."""
    table = rich.table.Table("", "Dice", "folds %", "SD log|J|", "HD95 mm", "s / step", box=rich.box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in summary.to_dict("records"):
        numbers = (row["dice"], 100 * row["folds"], row["sd_log_jacobian"], row["hd95"], row["seconds_per_step"])
        cells = [f"{number:.{digits}f}" if np.isfinite(number) else "-" for number, digits in zip(numbers, (4, 2, 3, 4, 3), strict=True)]
        table.add_row(row["method"], *cells)
    rich.console.Console().print(table)


def _registration_recipe(folder):
    recipe = runs.read_recipe(folder)
    if recipe.task != "registration":
        raise ValueError(f"{folder} is a {recipe.task} run. Expected a run of train-registration.")
    if not (pathlib.Path(folder) / "model.keras").is_file():
        raise ValueError(f"{folder} holds no model.keras: its training has not ended. The same train-registration command continues it.")
    return recipe


def _method(folder, recipe, found):
    """The loss's name, with the folder's where two runs share a loss."""
    title = recipes.LOSSES[recipe.loss].title
    return title if sum(other.loss == recipe.loss for other in found.values()) == 1 else f"{title} ({folder.name})"


def _draw(folder, images, models, tables, pairs, histories):
    """Every figure of a comparison; returns {caption: PNG path}."""
    identity = tables["identity"]
    # Without labels there is no Dice, and the loss, on each method's own scale, is what remains.
    measure = "val_dice" if all("val_dice" in history for history in histories.values()) else "val_loss"
    convergence = figures.convergence(histories, folder / "convergence", measure=measure)
    drawn = {f"Validation {measure[4:].replace('dice', 'Dice')} during training (as figure 2 of the paper)": convergence}
    if identity["dice"].notna().any():
        drawn["Dice of the pairs (as figure 3 of the paper)"] = figures.dice_boxplot(pairs, folder / "dice", title=images.name)
    # The pair that needs registration most shows most.
    k = int(identity["dice"].argmin()) if identity["dice"].notna().any() else 0
    moving, fixed, moving_labels, fixed_labels = images.pair(k)
    registered = {method: register(model, moving, fixed) for method, model in models.items()}
    labelled = moving_labels is not None
    warped_labels = {method: warp_labels(moving_labels, result["flow"]) for method, result in registered.items()} if labelled else None
    name = f"{identity['moving'][k]} to {identity['fixed'][k]}"
    for method, result in registered.items():
        stem = folder / ("example_" + "".join(c if c.isalnum() else "_" for c in method.lower()).strip("_"))
        drawn[f"{method}: {name}, the pair with the lowest Dice before registration"] = figures.example_pair(
            stem,
            moving=moving,
            fixed=fixed,
            warped=result["warped"],
            flow=result["flow"],
            moving_labels=moving_labels,
            fixed_labels=fixed_labels,
            warped_labels=warped_labels[method] if labelled else None,
        )
    if len(registered) > 1:
        drawn[f"All methods: {name}"] = figures.example_methods(
            folder / "example_methods",
            moving=moving,
            fixed=fixed,
            warped={method: result["warped"] for method, result in registered.items()},
            flow={method: result["flow"] for method, result in registered.items()},
            moving_labels=moving_labels,
            fixed_labels=fixed_labels,
            warped_labels=warped_labels,
            dice={method: table["dice"][k] for method, table in tables.items()},
        )
    return {caption: next(path for path in paths if str(path).endswith(".png")) for caption, paths in drawn.items()}


def _notes(recipe, images, split):
    notes = [f"{len(images.pairs())} pairs of the {split} split, at {' x '.join(map(str, images.shape))}."]
    if recipe.downsample > 1:
        resolution = f"Networks work at 1/{recipe.downsample} of the resolution; their flows are scaled up"
        notes.append(f"{resolution}, and everything is measured at the full one.")
    notes.append("Dice is the mean over all classes with background that occur in a pair.")
    notes.append("Folds are voxels with a Jacobian determinant of 0 or less.")
    return notes


def _say(verbose, text):
    if verbose:
        print(text, flush=True)
