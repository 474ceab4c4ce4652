"""Checkpoints: everything that a training step reads and changes, in one file that is whole or not there.

Not Keras's weights file: it leaves out the states of random generators and the sums of the metrics, it would need a
folder (which no system replaces in one step), HDF5 has no checksums, and on a full disk it ends the process (h5py 3.16:
segmentation fault).
"""

import json
import pathlib
import re
import sys

import numpy as np

from deepsim_tf.files import remove_leftovers, written_aside

NAME = re.compile(r"epoch_\d{5}_batch_\d{7}\.npz")
KEPT = 2  # the newest, and one in case that it is damaged later


def write(folder, model, state, epoch, batch):
    """Write the checkpoint after `epoch` epochs and `batch` batches of the next; older ones but the last go.

    Args:
        folder: of the checkpoints.
        model: compiled and built.
        state: dict of what else a run needs; anything that JSON holds.
        epoch, batch: where the run stands.

    Raises:
        OSError: the disk is full, or the folder cannot be written; the older checkpoints stay.
    """
    folder = pathlib.Path(folder)
    before = _found(folder)
    path = folder / f"epoch_{epoch:05d}_batch_{batch:07d}.npz"
    arrays = {f"variable_{i}": variable.numpy() for i, variable in enumerate(_variables(model))}
    if batch:  # at the end of an epoch the next one resets them
        arrays.update({f"metric_{i}": variable.numpy() for i, variable in enumerate(model.metrics_variables)})
    arrays["state"] = np.frombuffer(json.dumps({**state, "epoch": epoch, "batch": batch}).encode(), np.uint8)
    with written_aside(path) as aside:
        np.savez(aside, **arrays)
    for old in [other for other in before if other < path][: -(KEPT - 1)] + [other for other in before if other > path]:
        old.unlink()  # those above were damaged: the run stood there once, and went back behind them
    remove_leftovers(folder / "*")


def restore(folder, model):
    """Load the newest whole checkpoint into a model.

    A damaged one is reported on stderr, and the one before it taken.

    Returns:
        (state, metrics): what `write` was given, with epoch and batch, and the values of `model.metrics_variables`,
        which Keras resets before an epoch; None, if there is no checkpoint.

    Raises:
        ValueError: all checkpoints are damaged, or were written by another network.
    """
    paths = _found(pathlib.Path(folder))
    for path in reversed(paths):
        try:
            state, variables, metrics = _read(path)
        except (MemoryError, PermissionError):
            raise
        except (
            Exception
        ) as error:  # damaged bytes raise nearly anything: BadZipFile, ValueError, KeyError, NotImplementedError, ...
            print(
                f"deepsim: the checkpoint {path} is damaged ({' '.join(str(error).split())}); looking for the one"
                " before it.",
                file=sys.stderr,
            )
            continue
        model.optimizer.build(model.trainable_variables)
        _assign(path, _variables(model), variables)
        return state, metrics
    if paths:
        names = " and ".join(path.name for path in paths)
        raise ValueError(
            f"No checkpoint in {folder} can be read: {names} damaged. Put back a copy of one, or remove the folder"
            f" {folder} to train anew."
        )
    return None


def _found(folder):
    """All checkpoints of a folder, the oldest first."""
    return sorted(path for path in folder.glob("epoch_*.npz") if NAME.fullmatch(path.name))


def _read(path):
    """(state, arrays of the variables, arrays of the metrics), compared with the file's checksums."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    groups = {
        kind: [arrays[f"{kind}_{i}"] for i in range(sum(name.startswith(kind) for name in arrays))]
        for kind in ("variable", "metric")
    }
    return json.loads(arrays["state"].tobytes()), groups["variable"], groups["metric"]


def _variables(model):
    """Weights, states of random generators, a half-accumulated update, and the optimiser's variables.

    Without the metrics.
    """
    metrics = {id(variable) for variable in model.metrics_variables}
    half_update = getattr(model, "update_state", [])  # no part of Keras's tracking
    found = {id(variable): variable for variable in [*model.variables, *half_update, *model.optimizer.variables]}
    return [variable for key, variable in found.items() if key not in metrics]


def _assign(path, variables, arrays):
    here, there = [tuple(variable.shape) for variable in variables], [array.shape for array in arrays]
    if here != there:
        raise ValueError(
            f"{path} is of another network or another version: it has {len(there)} variables, and this model"
            f" {len(here)}, or their shapes"
            " differ. Continue with the version in config.json, or train in another folder (--out)."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
