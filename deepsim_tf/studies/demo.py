"""The whole pipeline on synthetic, noisy microscopy, in minutes."""

import pathlib

from deepsim_tf import recipes, training
from deepsim_tf.evaluation.compare import evaluate_runs
from deepsim_tf.losses.table import LOSSES
from deepsim_tf.studies.saying import say

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
    say(verbose, "1/3  Train a segmentation U-Net; its frozen encoder will be the similarity")
    training.train_segmentation(recipes.segmentation(dataset, "cpu", **changes), out / "segmentation", verbose=verbose)
    for number, loss in enumerate(DEMO, start=1):
        say(verbose, f"2/3  Train a registration network with {LOSSES[loss].title} ({number} of {len(DEMO)})")
        extractor = out / "segmentation" if loss == "deepsim" else None
        training.train_registration(
            recipes.registration(dataset, "cpu", loss, extractor=extractor, **changes), out / loss, verbose=verbose
        )
    say(verbose, "3/3  Evaluate on unseen pairs")
    return evaluate_runs([out / loss for loss in DEMO], split="test", out=out, verbose=verbose)
