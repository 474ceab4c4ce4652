"""One loss with several weights of the regulariser, measured on the validation pairs."""

import pathlib

import pandas

from deepsim_tf import checks, recipes, training
from deepsim_tf.evaluation.measure import evaluate
from deepsim_tf.files import written_aside
from deepsim_tf.losses.table import LOSSES
from deepsim_tf.studies.saying import say

FACTORS = (0.25, 1.0, 4.0)  # of the preset's lambda
EXTENSIONS = 2  # weights that a sweep may try beyond its ends


def sweep(dataset, preset, loss, out, *, factors=FACTORS, extensions=EXTENSIONS, verbose=1, **changes):
    """Train one loss with several weights of the regulariser, and measure each on the validation pairs.

    A sweep whose best weight is its lowest or highest has not found the best: it goes on beyond that end, by the ratio
    of its last two weights.

    Args:
        dataset, preset, loss: names, see `recipes`.
        out: folder; each weight has a run folder in it, lambda_<weight>, and sweep.csv holds the means.
        factors: of the preset's weight.
        extensions: number of weights that may be tried beyond the ends of `factors`; none where there is one factor.
        verbose: as in keras.Model.fit.
        changes: to the recipe, such as data, extractor, epochs.

    Returns:
        DataFrame with a row a weight: method, weight, run (folder), dice, sd_log_jacobian, folds (means over the
            validation pairs), and
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
            say(verbose, f"{LOSSES[loss].title}, lambda {weight:g}: {folder}")
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


def _measured(folder, recipe, verbose):
    """The validation pairs of a run of a sweep, a row each.

    Kept beside the model, and read from there while that is the same.
    """
    kept = folder / "measured_val.csv"
    if not kept.exists() or kept.stat().st_mtime_ns < (folder / "model.keras").stat().st_mtime_ns:
        with written_aside(kept) as aside:
            evaluate(folder, recipe.native_images("val"), quick=True, verbose=verbose).to_csv(aside, index=False)
    return pandas.read_csv(kept)
