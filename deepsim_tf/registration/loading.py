"""From what a user names as the model to a Solver."""

import os

import keras

from deepsim_tf.networks.loading import load_model
from deepsim_tf.registration.solver import FunctionSolver, Identity, Solver
from deepsim_tf.registration.voxelmorph import is_voxelmorph_file, load_voxelmorph

EXPECTED = "Expected a registration model (ds.models.registration_model, or a run of train-registration)"


def open_solver(solver):
    """The Solver that is meant.

    Args:
        solver: a Solver, such as a registration model; a run folder of train-registration; a `.keras` file; an `.h5`
            file of VoxelMorph's `VxmDense`; any callable on {"moving", "fixed"} (batch, *spatial, channels) that gives
            {"flow"}; or None for identity, no registration.

    Raises:
        ValueError: no such file, a file that cannot be read, or a model of another kind.
    """
    if solver is None:
        return Identity()
    if isinstance(solver, (str, os.PathLike)):
        found = load_voxelmorph(solver) if is_voxelmorph_file(solver) else load_model(solver)
        if not isinstance(found, Solver):
            raise ValueError(f"{EXPECTED}. Received: {type(found).__name__} from {os.fspath(solver)}.")
        return found
    if isinstance(solver, Solver):
        return solver
    if not callable(solver) or _of_another_task(solver):
        ways = "its path, a VoxelMorph .h5 file, or a function of {'moving', 'fixed'} that gives {'flow'}"
        raise ValueError(f"{EXPECTED}, {ways}. Received: {type(solver).__name__}.")
    return FunctionSolver(solver)


def _of_another_task(model):
    """Whether a Keras model takes one image, as a segmentation model does, and so cannot register two."""
    return isinstance(model, keras.Model) and getattr(model, "inputs", None) is not None and len(model.inputs) == 1
