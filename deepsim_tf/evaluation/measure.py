"""Measuring a model on an ImageSet."""

import time

import pandas
import tqdm

from deepsim_tf.data.image_set import ImageSet
from deepsim_tf.inference.arrays import predict, warp_labels
from deepsim_tf.metrics.table import Case, measured
from deepsim_tf.registration.loading import open_solver
from deepsim_tf.registration.refined import refined
from deepsim_tf.registration.solver import Identity


def evaluate(solver, images, *, quick=False, refine=0, verbose=1):
    """Measure a solver on every pair of an ImageSet.

    Args:
        solver: a registration model, the path of one or of its run folder, or whatever else `ds.register` takes; None
            measures identity, no registration.
        images: an ImageSet, of any size: flows are brought to its grid, where everything is measured.
        quick: leave out the measures that take most of the time: hd95, assd and ndv.
        refine: steps of instance refinement of each pair after the solver, see `ds.inference.refine_flow`; 0 for none.
        verbose: 1 shows a progress bar.

    Returns:
        pandas.DataFrame, one row a pair: moving, fixed (names), dice (mean over the classes present), dice_<class>,
        accuracy (fraction of voxels with equal labels), hd95 and assd (means over the foreground classes, in mm), tre
        (target registration error: mean over the landmarks, in mm; only where the images have landmarks), folds
        (fraction of voxels), sd_log_jacobian, ndv (non-diffeomorphic volume, in percent), seconds (of the prediction,
        with its refinement). Without labels, what compares them is NaN.
    """
    solver = open_solver(solver)
    rows = []
    if not isinstance(images, ImageSet):
        raise ValueError(f"evaluate expects an ImageSet, as ds.data makes them. Received: {type(images).__name__}.")
    if solver.ndim not in (None, len(images.shape)):
        raise ValueError(f"This model registers {solver.ndim}-D images. Received: {images!r}.")
    pairs = images.pairs()
    if not pairs:
        raise ValueError(f"{images!r} has no pairs to evaluate.")
    whole = refined(solver, refine)
    for k, (i, j) in enumerate(tqdm.tqdm(pairs, desc="evaluate", unit="pair", disable=not verbose)):
        moving, fixed, moving_labels, fixed_labels = images.pair(k)
        if k == 0:  # builds the graphs, which is not the time of a prediction
            predict(refined(solver, min(refine, 1)), moving, fixed)
        started = time.perf_counter()
        flow = predict(whole, moving, fixed)[1]
        seconds = 0.0 if isinstance(solver, Identity) else time.perf_counter() - started
        case = Case(
            flow=flow,
            spacing=images.spacing,
            classes=images.classes,
            fixed_labels=fixed_labels,
            warped_labels=None if moving_labels is None else warp_labels(moving_labels, flow),
            landmarks=images.landmarks(k),
        )
        names = {"moving": images.names[i], "fixed": "atlas" if j is None else images.names[j]}
        rows.append({**names, **measured(case, quick=quick), "seconds": seconds})
    return pandas.DataFrame(rows)


def summarise(pairs, seconds_per_step=None):
    """Means over the pairs of each method, in order of appearance.

    Args:
        pairs: tables of `evaluate`, one under the other, with a column `method`.
        seconds_per_step: dict of training time by method, for a column of that name.
    """
    numbers = [name for name in pairs.columns if name not in ("method", "moving", "fixed", "seconds")]
    groups = pairs.groupby("method", sort=False)
    summary = groups[numbers].mean()
    summary.insert(0, "pairs", groups.size())
    summary["seconds_per_step"] = pandas.Series(seconds_per_step or {}, dtype="float64").reindex(summary.index)
    return summary.reset_index()
