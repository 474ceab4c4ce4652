"""Registering single pairs of any size, and measuring a model on an ImageSet."""

import os
import time

import numpy as np
import pandas
import tqdm

from deepsim_tf import checks, metrics
from deepsim_tf.data.grids import fit_image, flow_on_images
from deepsim_tf.data.image_set import ImageSet
from deepsim_tf.data.sources import read_image
from deepsim_tf.layers import warp
from deepsim_tf.models.feature_extractor import load_model


def register(model, moving, fixed):
    """Register one pair of images of any size, on the fixed image's grid.

    Both are brought to the model's grid as its training images were (`image_fit`: centred, or resampled), and the flow is
    brought back to the fixed image's grid. They may differ in size where the training images did.

    Args:
        model: a registration model, or the path of one or of its run folder.
        moving, fixed: float arrays (*spatial) or (*spatial, 1), scaled as the training images were; or paths of
            image files (NIfTI, MGZ, TIFF, PNG, npy, npz), to which the model's own intensity rule is applied.

    Returns:
        dict of `warped` (*spatial of fixed, 1); `flow` (*spatial of fixed, ndim), the displacement in voxels of the moving
        image, `warped(p) = moving(p + flow(p))`; `similarity_map` (*spatial of fixed) in [-1, 1] where the model was trained
        with DeepSim, else None.

    Raises:
        ValueError: files that cannot be read, images of another dimension, integer images, NaN or infinity.
    """
    model = _registration_model(model)
    moving, fixed = (_as_image(model, name, image) for name, image in (("moving", moving), ("fixed", fixed)))
    if model.image_fit is None:
        checks.equal_shapes("register", moving=moving, fixed=fixed)
    flow = predict_flow(model, moving, fixed)
    warped = warp_image(moving, flow)
    result = {"warped": warped, "flow": flow, "similarity_map": None}
    if hasattr(model.similarity, "similarity_map"):
        result["similarity_map"] = np.asarray(model.similarity.similarity_map(fixed[None], warped[None]))[0]
    return result


def predict_flow(model, moving, fixed):
    """The flow (*spatial of fixed, ndim) for two images (*spatial, 1) of any size."""
    fit = model.image_fit or "resample"
    pair = {name: np.asarray(fit_image(image, model.shape, fit))[None] for name, image in (("moving", moving), ("fixed", fixed))}
    flow = np.asarray(model.predict_on_batch(pair)["flow"])[0]
    return flow_on_images(flow, fixed.shape[:-1], moving.shape[:-1], fit)


def warp_image(image, flow):
    """`image o flow`, linearly: (*spatial, 1), (*grid, ndim) -> (*grid, 1)."""
    return np.asarray(warp(image[None], flow[None]))[0]


def warp_labels(labels, flow):
    """`labels o flow`, nearest voxel: (*spatial), (*grid, ndim) -> (*grid)."""
    return np.asarray(warp(labels[None, ..., None], flow[None], interpolation="nearest"))[0, ..., 0]


def evaluate(model, images, *, quick=False, verbose=1):
    """Measure a model on every pair of an ImageSet.

    Args:
        model: a registration model, or the path of one or of its run folder; None measures identity, no registration.
        images: an ImageSet, of any size: flows are brought to its grid, where everything is measured.
        quick: leave out what takes most of the time: hd95, assd and ndv.
        verbose: 1 shows a progress bar.

    Returns:
        pandas.DataFrame, one row a pair: moving, fixed (names), dice (mean over the classes present), dice_<class>, accuracy (fraction
        of voxels with equal labels), hd95 and assd (means over the foreground classes, in mm), tre (target registration error: mean
        over the landmarks, in mm; only where the images have landmarks), folds (fraction of voxels), sd_log_jacobian, ndv
        (non-diffeomorphic volume, in percent), seconds (of the prediction). Without labels, what compares them is NaN.
    """
    model = None if model is None else _registration_model(model)
    rows = []
    if not isinstance(images, ImageSet):
        raise ValueError(f"evaluate expects an ImageSet, as ds.data makes them. Received: {type(images).__name__}.")
    if model is not None and len(model.shape) != len(images.shape):
        raise ValueError(f"This model registers {len(model.shape)}-D images. Received: {images!r}.")
    pairs = images.pairs()
    if not pairs:
        raise ValueError(f"{images!r} has no pairs to evaluate.")
    for k, (i, j) in enumerate(tqdm.tqdm(pairs, desc="evaluate", unit="pair", disable=not verbose)):
        moving, fixed, moving_labels, fixed_labels = images.pair(k)
        if k == 0 and model is not None:
            predict_flow(model, moving, fixed)  # builds the graph, which is not the time of a prediction
        started = time.perf_counter()
        flow = np.zeros((*images.shape, len(images.shape)), "float32") if model is None else predict_flow(model, moving, fixed)
        seconds = time.perf_counter() - started if model is not None else 0.0
        rows.append(
            {
                "moving": images.names[i],
                "fixed": "atlas" if j is None else images.names[j],
                **_overlap(images, flow, moving_labels, fixed_labels, quick),
                **_landmarks(images.landmarks(k), flow),
                **_deformation(flow, quick),
                "seconds": seconds,
            }
        )
    return pandas.DataFrame(rows)


def summarise(pairs, seconds_per_step=None):
    """Means over the pairs of each method, in order of appearance.

    Args:
        pairs: tables of `evaluate`, one under the other, with a column `method`.
        seconds_per_step: dict of training time by method, for a column of that name.
    """
    measured = [name for name in pairs.columns if name not in ("method", "moving", "fixed", "seconds")]
    groups = pairs.groupby("method", sort=False)
    summary = groups[measured].mean()
    summary.insert(0, "pairs", groups.size())
    summary["seconds_per_step"] = pandas.Series(seconds_per_step or {}, dtype="float64").reindex(summary.index)
    return summary.reset_index()


def _registration_model(model):
    """The model itself, or the one at a path."""
    found = load_model(model) if isinstance(model, (str, os.PathLike)) else model
    if not hasattr(found, "similarity"):
        kind = type(found).__name__ + ("" if found is model else f" from {os.fspath(model)}")
        raise ValueError(f"Expected a registration model (ds.models.registration_model, or a run of train-registration). Received: {kind}.")
    return found


def _overlap(images, flow, moving_labels, fixed_labels, quick):
    if moving_labels is None:
        return {"dice": np.nan, "accuracy": np.nan, **({} if quick else {"hd95": np.nan, "assd": np.nan})}
    warped_labels = warp_labels(moving_labels, flow)
    dice = metrics.dice(fixed_labels, warped_labels, images.classes)
    found = {
        "dice": float(np.nanmean(dice)),
        **{f"dice_{c}": float(value) for c, value in enumerate(dice)},
        "accuracy": float(metrics.voxel_accuracy(fixed_labels, warped_labels)),
    }
    if not quick:
        distances = metrics.surface_distances(fixed_labels, warped_labels, images.classes, spacing=images.spacing, background=False)
        found |= {"hd95": _mean_of_foreground(distances["hausdorff95"]), "assd": _mean_of_foreground(distances["surface_distance"])}
    return found


def _mean_of_foreground(values):
    return float(np.nanmean(values[1:])) if np.isfinite(values[1:]).any() else np.nan


def _landmarks(landmarks, flow):
    if landmarks is None:
        return {}
    moving, fixed, spacing = landmarks
    return {"tre": float(metrics.target_registration_error(flow, fixed, moving, spacing=spacing).mean())}


def _deformation(flow, quick):
    determinant = metrics.jacobian_determinant(flow)
    return {
        "folds": metrics.folding_fraction(flow, determinant=determinant),
        "sd_log_jacobian": metrics.sd_log_jacobian(flow, determinant=determinant),
        **({} if quick else {"ndv": metrics.non_diffeomorphic_volume(flow)}),
    }


def _as_image(model, name, image):
    if isinstance(image, (str, os.PathLike)):
        if model.intensity is None:
            raise ValueError(f"The model carries no intensity rule for files. Pass {name} as a float array scaled as the training images were.")
        image = read_image(image, model.intensity)
    image = np.asarray(image)
    checks.float_images("register", **{name: image})
    checks.finite_array("register", **{name: image})
    ndim = len(model.shape)
    image = image[..., None] if image.ndim == ndim else image
    if image.ndim != ndim + 1 or image.shape[-1] != 1:
        raise ValueError(f"register expects {ndim}-D images, (*spatial) or (*spatial, 1). Received: {name}.shape={image.shape}.")
    return image.astype("float32")
