"""The paper's comparison on a data set, in one call.

Extractors, all losses with their weights, tables, figures, report.
"""

import pathlib

import numpy as np
import pandas

from deepsim_tf import checks, recipes, training
from deepsim_tf.evaluation.compare import Background, evaluate_runs
from deepsim_tf.evaluation.noise import SIGMAS
from deepsim_tf.files import written_aside
from deepsim_tf.losses.table import LOSSES
from deepsim_tf.recipes.extractors import EXTRACTORS
from deepsim_tf.studies.saying import say
from deepsim_tf.studies.sweep import EXTENSIONS, FACTORS, sweep
from deepsim_tf.training import runs

PAPER = ("mse", "ncc", "ncc-sup", "nmi", "mind", "deepsim-ae", "deepsim")


def reproduce(
    dataset,
    preset="cpu",
    *,
    out,
    losses=PAPER,
    factors=FACTORS,
    extensions=EXTENSIONS,
    loss_options=None,
    regularizer=None,
    int_steps=None,
    extractor_epochs=None,
    noise=SIGMAS,
    split="val",
    verbose=1,
    **changes,
):
    """Everything behind one table of the paper; what is finished is kept when the call is repeated.

    1. The extractors that the losses need, each in a run folder (segmentation, autoencoder).
    2. Each loss with several weights of the regulariser, for as many updates; the weight of the best validation Dice is
       chosen.
    3. The chosen runs on the pairs of `split`: pairs.csv, summary.csv with intervals, statistics.csv, noise.csv,
       sweep.csv, extractors.csv, figures/ and report.html.

    Args:
        dataset, preset: names, see `recipes`.
        out: folder of the runs and of the comparison.
        losses: names of `LOSSES`.
        factors, extensions: of the preset's weights, see `sweep`.
        loss_options: dict of options; each loss gets those that it takes.
        regularizer, int_steps: of the registrations, see `RegistrationRecipe`.
        extractor_epochs: epochs of the extractors' trainings, where `epochs` among the changes is for the registrations
            alone.
        noise: standard deviations of the noise that is added to both images of a pair; empty for no such study.
        split: of the final comparison. The weights are always chosen on "val".
        verbose: as in keras.Model.fit.
        changes: to all recipes, such as data or epochs.

    Returns:
        The summary, a DataFrame, with `dice_matched`: the Dice of a method's sweep at one smoothness (SD log|J|, see
        `common_smoothness`), interpolated; NaN where its sweep does not reach it.
    """
    out = pathlib.Path(out)
    options = _options_of(losses, loss_options or {})
    goal = {"regularizer": regularizer, "int_steps": int_steps}
    extractors = {}
    for task in dict.fromkeys(LOSSES[loss].extractor for loss in losses):
        if task and EXTRACTORS[task].command:
            say(verbose, f"Extractor: {task}")
            longer = {} if extractor_epochs is None else {"epochs": extractor_epochs}
            recipe = getattr(recipes, task)(dataset, preset, **changes | longer)
            getattr(training, f"train_{task}")(recipe, out / task, verbose=verbose)
            extractors[task] = str(out / task)
    tables = []
    for loss in losses:
        own = {"loss_options": options[loss], "extractor": extractors.get(LOSSES[loss].extractor), **goal}
        tries = {"factors": factors, "extensions": extensions, "verbose": verbose}
        tables.append(sweep(dataset, preset, loss, out / loss, **tries, **own, **changes))
    swept = pandas.concat(tables, ignore_index=True)
    chosen = swept[swept["chosen"]]
    reference = common_smoothness(swept)
    matched = {method: matched_dice(table, reference) for method, table in swept.groupby("method")}
    quality = _extractor_quality(extractors)
    for name, table in (("sweep.csv", swept), ("extractors.csv", quality)):
        with written_aside(out / name) as aside:
            table.to_csv(aside, index=False)
    background = Background(
        sweep=swept, reference=reference, matched=matched, extractors=quality if len(quality) else None
    )
    return evaluate_runs(list(chosen["run"]), split=split, out=out, noise=noise, background=background, verbose=verbose)


def _options_of(losses, options):
    """The options of each loss among those given; one that no loss takes is refused."""
    for loss in losses:
        checks.known("loss", loss, LOSSES)
    for name in options:
        takers = [loss for loss in losses if name in LOSSES[loss].options]
        if not takers:
            known = dict.fromkeys(option for loss in losses for option in LOSSES[loss].options)
            raise ValueError(
                f"None of the losses {', '.join(losses)} has an option {name!r}. Available:"
                f" {', '.join(known) or 'none'}."
            )
    return {loss: {name: options[name] for name in options if name in LOSSES[loss].options} for loss in losses}


def common_smoothness(swept):
    """The SD log|J| at which the methods of a sweep are compared.

    Of the values that the sweeps of the most methods reach, that which is nearest to the smoothest chosen run: so a
    method that folds, or hardly moves, whatever its weight, does not decide for the others.
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
