"""Registering the frames of a movie, or the sections of a stack, to one reference."""

import warnings

import numpy as np
import tqdm

from deepsim_tf import checks
from deepsim_tf.inference.arrays import register, warp_image
from deepsim_tf.registration.loading import open_solver

REFERENCES = ("first", "previous", "mean")
ROUNDS = 2  # of registering to the mean, which is sharper after each
DRIFT = 1.0  # voxels, on the mean over the image, from which the composed flows are reported


def register_series(solver, images, *, reference="first", verbose=1):
    """Register every frame of a series to one frame, or each to the one before.

    Args:
        solver: what registers, see `ds.register`; a `ds.PairwiseOptimizer` needs no training.
        images: float array (frames, *spatial) or (frames, *spatial, channels), two frames or more, scaled as the
            solver takes them.
        reference: `"first"`; the number of a frame, from 0 on, or from the end, -1; `"mean"`: the mean over the frames,
            in two rounds, the second with the registered frames; or `"previous"`: each frame is registered to the one
            before, and the flows are composed, which bridges large motion, and adds up errors.
        verbose: 1 shows a progress bar.

    Returns:
        dict of `warped` (frames, *spatial, channels); `flows` (frames, *spatial, ndim), in voxels: each leads from the
        reference's grid into the original frame, `warped[k](p) = images[k](p + flows[k](p))`; and `drift`, for
        "previous": how far, in voxels, the composed flow of the last frame is from that of registering it to the first
        directly, on the mean over the image, else None. A drift of more than a voxel is reported as a warning: either
        of the two may be the wrong one.

    Raises:
        ValueError: less than two frames, an unknown reference, or what `ds.register` refuses.
    """
    solver = open_solver(solver)
    images = np.asarray(images)
    checks.float_images("register_series", images=images)
    if images.ndim < 3 or len(images) < 2:
        raise ValueError(
            "register_series expects two frames or more, (frames, *spatial) or (frames, *spatial, channels). Received:"
            f" images.shape={images.shape}."
        )
    frames = [image[..., None] if image.ndim == _ndim(solver, images) else image for image in images]
    frames = [np.asarray(frame, np.float32) for frame in frames]
    whole = isinstance(reference, (int, np.integer)) and not isinstance(reference, bool)
    if whole and not -len(frames) <= reference < len(frames):
        raise ValueError(f"reference must be a frame from 0 to {len(frames) - 1}. Received: reference={reference}.")
    if not whole:
        checks.known("reference", reference, REFERENCES)

    def bar(numbers, name="register"):
        return tqdm.tqdm(numbers, desc=name, unit="frame", disable=not verbose)

    if reference == "previous":
        flows = _chained(solver, frames, bar)
        drift = _drift(solver, frames, flows[-1])
    elif reference == "mean":
        fixed, drift = np.mean(frames, axis=0), None
        for k in range(ROUNDS):
            flows = [_flow(solver, frame, fixed) for frame in bar(frames, f"round {k + 1} of {ROUNDS}")]
            fixed = np.mean([warp_image(*pair) for pair in zip(frames, flows, strict=True)], axis=0)
    else:
        fixed, drift = frames[0 if reference == "first" else reference], None
        flows = [_flow(solver, frame, fixed) for frame in bar(frames)]
    warped = [warp_image(*pair) for pair in zip(frames, flows, strict=True)]
    return {"warped": np.stack(warped), "flows": np.stack(flows), "drift": drift}


def _ndim(solver, images):
    return checks.spatial_axes(images[0]) if solver.ndim is None else solver.ndim


def _flow(solver, moving, fixed):
    """The flow of one frame; of the reference itself it is zero."""
    if moving is fixed:
        return np.zeros((*fixed.shape[:-1], fixed.ndim - 1), np.float32)
    return register(solver, moving, fixed)["flow"]


def _chained(solver, frames, bar):
    """The flows into the grid of the first frame, composed of those between neighbours."""
    flows = [_flow(solver, frames[0], frames[0])]
    for k in bar(range(1, len(frames))):
        step = _flow(solver, frames[k], frames[k - 1])
        flows.append(flows[-1] + warp_image(step, flows[-1]))
    return flows


def _drift(solver, frames, composed):
    """How far the composed flow of the last frame is from the direct one, in voxels; with a warning where it is far."""
    direct = _flow(solver, frames[-1], frames[0])
    drift = float(np.linalg.norm(composed - direct, axis=-1).mean())
    if drift > DRIFT:
        warnings.warn(
            f"The composed flows have led {drift:.2g} voxels away from where the last frame lies when it is registered"
            ' to the first directly. Compare reference="previous" with reference="first".',
            stacklevel=3,
        )
    return drift
