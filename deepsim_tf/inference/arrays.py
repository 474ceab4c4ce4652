"""Registering single pairs of arrays of any size, voxel by voxel: positions in the world play no part."""

import os

import numpy as np

from deepsim_tf import checks
from deepsim_tf.data.sources import read_image
from deepsim_tf.grids.fit import fit_image
from deepsim_tf.grids.flow import flow_on_images
from deepsim_tf.layers import warp
from deepsim_tf.registration.loading import open_model
from deepsim_tf.registration.refined import refine_flow


def register(model, moving, fixed, *, refine=0):
    """Register one pair of images of any size, on the fixed image's grid.

    Both are brought to the model's grid as its training images were (`image_fit`: centred, or resampled), and the flow
    is brought back to the fixed image's grid. They may differ in size where the training images did. What the headers
    of NIfTI and MGZ files say about voxel size, orientation and position is for `ds.inference.register_files`, which
    also writes the result to files.

    Args:
        model: a registration model, or the path of one, of its run folder, or of a VoxelMorph `.h5` file.
        moving, fixed: float arrays (*spatial) or (*spatial, 1), scaled as the training images were; or paths of
            image files (NIfTI, MGZ, TIFF, PNG, npy, npz), to which the model's own intensity rule is applied.
        refine: steps of instance refinement after the network, see `ds.inference.refine_flow`; 0 for none.

    Returns:
        dict of `warped` (*spatial of fixed, 1); `flow` (*spatial of fixed, ndim), the displacement in voxels of the
        moving image, `warped(p) = moving(p + flow(p))`; `similarity_map` (*spatial of fixed) in [-1, 1] where the model
        was trained with DeepSim, else None.

    Raises:
        ValueError: files that cannot be read, images of another dimension, integer images, NaN or infinity.
    """
    model = open_model(model)
    moving, fixed = (_as_image(model, name, image) for name, image in (("moving", moving), ("fixed", fixed)))
    if model.image_fit is None:
        checks.equal_shapes("register", moving=moving, fixed=fixed)
    flow = predict_flow(model, moving, fixed, refine=refine)
    warped = warp_image(moving, flow)
    result = {"warped": warped, "flow": flow, "similarity_map": None}
    if hasattr(model.similarity, "similarity_map"):
        result["similarity_map"] = np.asarray(model.similarity.similarity_map(fixed[None], warped[None]))[0]
    return result


def predict_flow(model, moving, fixed, *, refine=0):
    """The flow (*spatial of fixed, ndim) for two images (*spatial, 1) of any size, after `refine` steps."""
    fit = model.image_fit or "resample"
    on_grid = [np.asarray(fit_image(image, model.shape, fit)) for image in (moving, fixed)]
    flow = predict_on_grid(model, *on_grid)
    if refine:
        flow, _ = refine_flow(model, *on_grid, flow, steps=refine)
    return flow_on_images(flow, fixed.shape[:-1], moving.shape[:-1], fit)


def predict_on_grid(model, moving, fixed):
    """The flow (*model.shape, ndim) for two images (*model.shape, 1)."""
    return np.asarray(model.predict_on_batch({"moving": moving[None], "fixed": fixed[None]})["flow"])[0]


def warp_image(image, flow):
    """`image o flow`, linearly: (*spatial, 1), (*grid, ndim) -> (*grid, 1)."""
    return np.asarray(warp(image[None], flow[None]))[0]


def warp_labels(labels, flow):
    """`labels o flow`, nearest voxel: (*spatial), (*grid, ndim) -> (*grid)."""
    return np.asarray(warp(labels[None, ..., None], flow[None], interpolation="nearest"))[0, ..., 0]


def _as_image(model, name, image):
    if isinstance(image, (str, os.PathLike)):
        if model.intensity is None:
            raise ValueError(
                f"The model carries no intensity rule for files. Pass {name} as a float array scaled as the training"
                " images were."
            )
        image = read_image(image, model.intensity)
    image = np.asarray(image)
    checks.float_images("register", **{name: image})
    checks.finite_array("register", **{name: image})
    ndim = len(model.shape)
    image = image[..., None] if image.ndim == ndim else image
    if image.ndim != ndim + 1 or image.shape[-1] != 1:
        raise ValueError(
            f"register expects {ndim}-D images, (*spatial) or (*spatial, 1). Received: {name}.shape={image.shape}."
        )
    return image.astype("float32")
