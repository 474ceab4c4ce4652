"""From what a user names as the model to the model."""

import os

from deepsim_tf.extractors.feature_extractor import load_model
from deepsim_tf.registration.voxelmorph import is_voxelmorph_file, load_voxelmorph


def open_model(model):
    """A registration model: itself, or the one at a path.

    Args:
        model: a registration model; a run folder of train-registration; a `.keras` file; or an `.h5` file of
            VoxelMorph's `VxmDense`.

    Raises:
        ValueError: no such file, a file that cannot be read, or a model of another kind.
    """
    if not isinstance(model, (str, os.PathLike)):
        found = model
    else:
        found = load_voxelmorph(model) if is_voxelmorph_file(model) else load_model(model)
    if not hasattr(found, "similarity"):
        kind = type(found).__name__ + ("" if found is model else f" from {os.fspath(model)}")
        raise ValueError(
            "Expected a registration model (ds.models.registration_model, or a run of train-registration). Received:"
            f" {kind}."
        )
    return found
