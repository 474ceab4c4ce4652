"""Checkpoints: everything that a training step reads and changes, by path, in one file that is whole or not there.

Not Keras's weights file: it leaves out the states of random generators and the sums of the metrics, it would need a
folder (which no system replaces in one step), HDF5 has no checksums, and on a full disk it ends the process (h5py 3.16:
segmentation fault).
"""

import functools
import json
import pathlib
import re
import sys

import numpy as np

from deepsim_tf.files import remove_leftovers, written_aside
from deepsim_tf.training.paths import metric_variables, state_variables

NAME = re.compile(r"epoch_\d{5}_batch_\d{7}\.npz")
SHOWN = 4  # variables that an error names
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
    arrays = {f"variable/{name}": variable.numpy() for name, variable in state_variables(model).items()}
    if batch:  # at the end of an epoch the next one resets them
        arrays |= {f"metric/{name}": variable.numpy() for name, variable in metric_variables(model).items()}
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
        (state, put_back): what `write` was given, with epoch and batch; and a function to call within the epoch, which
        gives the metrics their sums, as Keras resets them before it. None, if there is no checkpoint.

    Raises:
        ValueError: all checkpoints are damaged, or the newest whole one is of another network: it lacks a variable of
            this model, has one that the model has not, or one of another shape.
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
        _assign(path, state_variables(model), variables)
        return state, functools.partial(_put_back, path, model, metrics)
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
    """(state, arrays of the variables, arrays of the metrics) by path, compared with the file's checksums."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    variables, metrics = (
        {name.removeprefix(kind): array for name, array in arrays.items() if name.startswith(kind)}
        for kind in ("variable/", "metric/")
    )
    return json.loads(arrays["state"].tobytes()), variables, metrics


def _put_back(path, model, metrics):
    _assign(path, metric_variables(model), metrics)


def _assign(path, variables, arrays):
    """Give each variable the array of its name, or refuse all of them."""
    here, there = ({name: tuple(a.shape) for name, a in found.items()} for found in (variables, arrays))
    differences = [f"{name} is missing there" for name in here if name not in there]
    differences += [f"{name} is only there" for name in there if name not in here]
    for name, shape in here.items():
        if there.get(name, shape) != shape:
            differences.append(f"{name} has shape {there[name]} there and {shape} here")
    if differences:
        more = f"; and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        raise ValueError(
            f"The checkpoint {path} is of another network or another version: {'; '.join(differences[:SHOWN])}{more}."
            " Continue with the version in config.json, or train in another folder (--out)."
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
