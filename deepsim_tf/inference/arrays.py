"""Registering single pairs of arrays of any size, voxel by voxel: positions in the world play no part."""

import os

import numpy as np

from deepsim_tf import checks
from deepsim_tf.grids.fit import fit_image
from deepsim_tf.grids.flow import flow_on_images
from deepsim_tf.inference.image_files import scaled_voxels, source_of
from deepsim_tf.layers import warp
from deepsim_tf.registration.loading import open_solver
from deepsim_tf.registration.prediction import Pair
from deepsim_tf.registration.refined import refined


def register(solver, moving, fixed, *, refine=0, moving_mask=None, fixed_mask=None):
    """Register one pair of images of any size, on the fixed image's grid.

    Both are brought to the solver's grid as a network's training images were (`image_fit`: centred, or resampled), and
    the flow is brought back to the fixed image's grid. They may differ in size where the training images did. A
    `ds.PairwiseOptimizer` registers images of any size as they are. What the
    headers of NIfTI and MGZ files say about voxel size, orientation and position is for `ds.inference.register_files`,
    which also writes the result to files.

    Args:
        solver: a registration model; the path of one, of its run folder, or of a VoxelMorph `.h5` file; any Solver, or
            a function of {"moving", "fixed"}, images (batch, *spatial, channels), that gives {"flow"}.
        moving, fixed: float arrays (*spatial) or (*spatial, channels), scaled as the training images were; or paths of
            image files (NIfTI, MGZ, TIFF, PNG, npy, npz), to which the model's own intensity rule is applied; of
            channels in files of their own all of them, "t1.nii.gz;t2.nii.gz". Where the solver takes images of 2 and of
            3 dimensions, an array of three axes is an image with channels if its last axis is at most 4, else a volume.
        refine: steps of instance refinement after the solver, see `ds.inference.refine_flow`; 0 for none.
        moving_mask, fixed_mask: weights of the voxels of either image, (*spatial), 0 where they do not count, as bool
            or float array; only for a solver that minimises on the pair.

    Returns:
        dict of `warped` (*spatial of fixed, channels); `flow` (*spatial of fixed, ndim), the displacement in voxels of
        the moving image, `warped(p) = moving(p + flow(p))`; `similarity_map` (*spatial of fixed) in [-1, 1] where a
        DeepSim is in the solver's objective, else None; `affine` (ndim + 1, ndim + 1), the affine part of the flow,
        from voxels of fixed to voxels of moving, where the solver finds one, else None; `inverse_flow` (*spatial of
        moving, ndim), the displacement from the moving into the fixed image, where the solver has it, else None.

    Raises:
        ValueError: files that cannot be read, images of another dimension, integer images, NaN or infinity.
    """
    solver = open_solver(solver)
    moving, fixed = (_as_image(solver, name, image) for name, image in (("moving", moving), ("fixed", fixed)))
    if solver.image_fit is None and not solver.own_grids:
        checks.equal_shapes("register", moving=moving, fixed=fixed)
    masks = {"moving_mask": moving_mask, "fixed_mask": fixed_mask}
    masks = {
        name: _as_mask(solver, name, mask, image.shape[:-1])
        for (name, mask), image in zip(masks.items(), (moving, fixed), strict=True)
        if mask is not None
    }
    prediction, flow = predict(refined(solver, refine), moving, fixed, **masks)
    warped = warp_image(moving, flow)
    semantic = None if solver.objective() is None else solver.objective().semantic
    similarity_map = None if semantic is None else np.asarray(semantic.similarity_map(fixed[None], warped[None]))[0]
    affine = None if prediction.affine is None else np.asarray(prediction.affine)[0]
    inverse = prediction.extra.get("inverse", [None])[0]
    return {
        "warped": warped,
        "flow": flow,
        "similarity_map": similarity_map,
        "affine": affine,
        "inverse_flow": inverse,
    }


def predict(solver, moving, fixed, **masks):
    """Solve for two images (*spatial, channels) of any size; `masks` (*spatial) are those of a Pair.

    Returns:
        `(prediction, flow)`: the Prediction on the solver's grid, and the flow (*spatial of fixed, ndim) on the
        images'.
    """
    if solver.shape is None:
        masks = {name: mask[None] for name, mask in masks.items()}
        prediction = solver.solve(Pair(moving=moving[None], fixed=fixed[None], **masks))
        return prediction, np.asarray(prediction.flow)[0]
    on_grid = {
        name: np.asarray(fit_image(image, solver.shape, solver.grid_fit))[None]
        for name, image in (("moving", moving), ("fixed", fixed))
    }
    prediction = solver.solve(Pair(**on_grid))
    sizes = fixed.shape[:-1], moving.shape[:-1]
    return prediction, flow_on_images(np.asarray(prediction.flow)[0], *sizes, solver.grid_fit)


def warp_image(image, flow):
    """`image o flow`, linearly: (*spatial, 1), (*grid, ndim) -> (*grid, 1)."""
    return np.asarray(warp(image[None], flow[None]))[0]


def warp_labels(labels, flow):
    """`labels o flow`, nearest voxel: (*spatial), (*grid, ndim) -> (*grid)."""
    return np.asarray(warp(labels[None, ..., None], flow[None], interpolation="nearest"))[0, ..., 0]


def _as_mask(solver, name, mask, shape):
    """A mask as float32 (*spatial), after the checks."""
    if not solver.own_grids:
        raise ValueError(
            f"{name} is for a ds.PairwiseOptimizer, which minimises its loss on the pair. Received:"
            f" {type(solver).__name__}, whose answer does not depend on it."
        )
    mask = np.asarray(mask, np.float32)
    if mask.shape != tuple(shape):
        raise ValueError(f"{name} must have the shape of its image, {tuple(shape)}. Received: {mask.shape}.")
    checks.finite_array("register", "masks", **{name: mask})
    if mask.min() < 0 or not mask.any():
        raise ValueError(
            f"{name} must hold weights of 0 or more, and some above 0. Received: {mask.min():g} to {mask.max():g}."
        )
    return mask


def _as_image(solver, name, image):
    """A file or an array as float32 (*spatial, channels), after the checks."""
    if isinstance(image, (str, os.PathLike)):
        if solver.intensity is None:
            raise ValueError(
                f"The model carries no intensity rule for files. Pass {name} as a float array scaled as the training"
                " images were."
            )
        image = scaled_voxels(source_of(image), solver.intensity, solver.channels)
    image = np.asarray(image)
    checks.float_images("register", **{name: image})
    checks.finite_array("register", **{name: image})
    ndim = checks.spatial_axes(image) if solver.ndim is None else solver.ndim
    channels = solver.channels
    image = image[..., None] if image.ndim == ndim else image
    if image.ndim != ndim + 1 or (channels is not None and image.shape[-1] != channels):
        shapes = "(*spatial) or (*spatial, 1)" if channels in (None, 1) else f"(*spatial, {channels})"
        raise ValueError(f"register expects {ndim}-D images, {shapes}. Received: {name}.shape={image.shape}.")
    return image.astype("float32")
