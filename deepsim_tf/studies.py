"""The paper's comparison, in one call: on synthetic data in minutes (`demo`), or on a dataset (`reproduce`)."""

import pathlib

import numpy as np
import pandas

from deepsim_tf import checks, recipes, runs, training
from deepsim_tf.comparison import Background, evaluate_runs
from deepsim_tf.evaluation import evaluate
from deepsim_tf.files import written_aside
from deepsim_tf.loss_choices import LOSSES
from deepsim_tf.noise import SIGMAS

DEMO = ("mse", "ncc", "deepsim")
FACTORS = (0.25, 1.0, 4.0)  # of the preset's lambda
EXTENSIONS = 2  # weights that a sweep may try beyond its ends
PAPER = ("mse", "ncc", "ncc-sup", "nmi", "mind", "deepsim-ae", "deepsim")
TRAININGS = {
    "segmentation": (recipes.segmentation, training.train_segmentation),
    "autoencoder": (recipes.autoencoder, training.train_autoencoder),
}


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
        _say(verbose, f"2/3  Train a registration network with {LOSSES[loss].title} ({number} of {len(DEMO)})")
        extractor = out / "segmentation" if loss == "deepsim" else None
        training.train_registration(recipes.registration(dataset, "cpu", loss, extractor=extractor, **changes), out / loss, verbose=verbose)
    _say(verbose, "3/3  Evaluate on unseen pairs")
    return evaluate_runs([out / loss for loss in DEMO], split="test", out=out, verbose=verbose)


def sweep(dataset, preset, loss, out, *, factors=FACTORS, extensions=EXTENSIONS, verbose=1, **changes):
    """Train one loss with several weights of the regulariser, and measure each on the validation pairs.

    A sweep whose best weight is its lowest or highest has not found the best: it goes on beyond that end, by the ratio of its last two weights.

    Args:
        dataset, preset, loss: names, see `recipes`.
        out: folder; each weight has a run folder in it, lambda_<weight>, and sweep.csv holds the means.
        factors: of the preset's weight.
        extensions: number of weights that may be tried beyond the ends of `factors`; none where there is one factor.
        verbose: as in keras.Model.fit.
        changes: to the recipe, such as data, extractor, epochs.

    Returns:
        DataFrame with a row a weight: method, weight, run (folder), dice, sd_log_jacobian, folds (means over the validation pairs), and
        chosen, True for the weight of the highest Dice. What is finished is kept when the call is repeated.
    """
    checks.known("loss", loss, LOSSES)
    out, rows = pathlib.Path(out), []
    base = recipes.registration(dataset, preset, loss, **changes).weight
    untried = sorted({_rounded(base * factor) for factor in factors})
    while untried:
        for weight in untried:
            recipe = recipes.registration(dataset, preset, loss, **{**changes, "weight": weight})
            folder = out / f"lambda_{weight:g}"
            _say(verbose, f"{LOSSES[loss].title}, lambda {weight:g}: {folder}")
            training.train_registration(recipe, folder, verbose=verbose)
            means = _measured(folder, recipe, verbose)[["dice", "sd_log_jacobian", "folds"]].mean()
            rows.append({"method": LOSSES[loss].title, "weight": weight, "run": str(folder), **means})
        table = pandas.DataFrame(rows).sort_values("weight", ignore_index=True)
        table["chosen"] = table.index == (table["dice"].idxmax() if table["dice"].notna().any() else 0)
        untried = [weight for weight in [_beyond(table)] if weight is not None and extensions > 0]
        extensions -= 1
    with written_aside(out / "sweep.csv") as aside:
        table.to_csv(aside, index=False)
    return table


def _beyond(table):
    """The weight to try next: beyond the end of a sweep where its best is at that end, else None."""
    weights, best = table["weight"].to_numpy(), int(table["chosen"].argmax())
    if len(weights) == 1 or not table["dice"].notna().any() or 0 < best < len(weights) - 1 or weights[0] == 0:
        return None
    return _rounded(weights[0] ** 2 / weights[1] if best == 0 else weights[-1] ** 2 / weights[-2])


def _rounded(weight):
    return float(f"{weight:.4g}")


def reproduce(
    dataset,
    preset="cpu",
    *,
    out,
    losses=PAPER,
    factors=FACTORS,
    extensions=EXTENSIONS,
    extractor_epochs=None,
    noise=SIGMAS,
    split="val",
    verbose=1,
    **changes,
):
    """Everything behind one table of the paper; what is finished is kept when the call is repeated.

    1. The extractors that the losses need, each in a run folder (segmentation, autoencoder).
    2. Each loss with several weights of the regulariser, for as many updates; the weight of the best validation Dice is chosen.
    3. The chosen runs on the pairs of `split`: pairs.csv, summary.csv with intervals, statistics.csv, noise.csv, sweep.csv,
       extractors.csv, figures/ and report.html.

    Args:
        dataset, preset: names, see `recipes`.
        out: folder of the runs and of the comparison.
        losses: names of `LOSSES`.
        factors, extensions: of the preset's weights, see `sweep`.
        extractor_epochs: epochs of the extractors' trainings, where `epochs` among the changes is for the registrations alone.
        noise: standard deviations of the noise that is added to both images of a pair; empty for no such study.
        split: of the final comparison. The weights are always chosen on "val".
        verbose: as in keras.Model.fit.
        changes: to all recipes, such as data or epochs.

    Returns:
        The summary, a DataFrame, with `dice_matched`: the Dice of a method's sweep at one smoothness (SD log|J|, see
        `common_smoothness`), interpolated; NaN where its sweep does not reach it.
    """
    out = pathlib.Path(out)
    for loss in losses:
        checks.known("loss", loss, LOSSES)
    extractors = {}
    for task in dict.fromkeys(LOSSES[loss].extractor for loss in losses):
        if task in TRAININGS:
            make, train = TRAININGS[task]
            _say(verbose, f"Extractor: {task}")
            longer = {} if extractor_epochs is None else {"epochs": extractor_epochs}
            train(make(dataset, preset, **changes | longer), out / task, verbose=verbose)
            extractors[task] = str(out / task)
    tables = []
    for loss in losses:
        weights = {"factors": factors, "extensions": extensions, "extractor": extractors.get(LOSSES[loss].extractor)}
        tables.append(sweep(dataset, preset, loss, out / loss, **weights, verbose=verbose, **changes))
    swept = pandas.concat(tables, ignore_index=True)
    chosen = swept[swept["chosen"]]
    reference = common_smoothness(swept)
    matched = {method: matched_dice(table, reference) for method, table in swept.groupby("method")}
    quality = _extractor_quality(extractors)
    for name, table in (("sweep.csv", swept), ("extractors.csv", quality)):
        with written_aside(out / name) as aside:
            table.to_csv(aside, index=False)
    background = Background(sweep=swept, reference=reference, matched=matched, extractors=quality if len(quality) else None)
    return evaluate_runs(list(chosen["run"]), split=split, out=out, noise=noise, background=background, verbose=verbose)


def common_smoothness(swept):
    """The SD log|J| at which the methods of a sweep are compared.

    Of the values that the sweeps of the most methods reach, that which is nearest to the smoothest chosen run: so a method that folds, or
    hardly moves, whatever its weight, does not decide for the others.
    """
    smoothest = float(swept.loc[swept["chosen"], "sd_log_jacobian"].min())
    ranges = swept.groupby("method")["sd_log_jacobian"].agg(["min", "max"])
    values = np.array([smoothest, *ranges["min"], *ranges["max"]])
    reached = [((ranges["min"] <= value) & (value <= ranges["max"])).sum() for value in values]
    best = values[reached == np.max(reached)]
    return float(best[np.argmin(np.abs(best - smoothest))])


def matched_dice(table, reference):
    """Dice of one method's sweep at the SD log|J| `reference`: linear between its neighbours, NaN beyond them."""
    points = table.sort_values("sd_log_jacobian")
    return float(np.interp(reference, points["sd_log_jacobian"], points["dice"], left=np.nan, right=np.nan))


def _extractor_quality(extractors):
    """How well each extractor does its own task, from its history."""
    rows = []
    for task, folder in extractors.items():
        last = runs.read_history(folder).iloc[-1]
        measures = {name: last[name] for name in ("val_dice", "val_accuracy", "val_loss") if name in last}
        rows.append({"extractor": task, "updates": int(last["step"]), **measures})
    return pandas.DataFrame(rows, columns=["extractor", "updates", "val_dice", "val_accuracy", "val_loss"])


def _measured(folder, recipe, verbose):
    """The validation pairs of a run of a sweep, a row each; kept beside the model, and read from there while that is the same."""
    kept = folder / "measured_val.csv"
    if not kept.exists() or kept.stat().st_mtime_ns < (folder / "model.keras").stat().st_mtime_ns:
        with written_aside(kept) as aside:
            evaluate(folder, recipe.native_images("val"), quick=True, verbose=verbose).to_csv(aside, index=False)
    return pandas.read_csv(kept)


def _say(verbose, text):
    if verbose:
        print(text, flush=True)
