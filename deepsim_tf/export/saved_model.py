"""`ds.export`: a solver as a version folder that TensorFlow Serving watches."""

import contextlib
import errno
import os
import pathlib
import uuid

import tensorflow as tf

from deepsim_tf import checks
from deepsim_tf.export.onnx import converter, write_onnx
from deepsim_tf.export.signatures import signatures
from deepsim_tf.export.warmup import write_warmup
from deepsim_tf.files import written_aside
from deepsim_tf.layers.compiled import without_xla
from deepsim_tf.registration.loading import open_solver

EXPORT_FORMATS = {"tensorflow": "saved_model.pb", "onnx": "serving_default.onnx"}  # and a file that every version has


def export(solver, path, *, format="tensorflow", verbose=1):
    """Write a solver as a SavedModel for TensorFlow Serving, in the next free version of a folder.

    Its intensity rule and its grid are inside: a client sends images as they are in the files, of any size, and gets
    what `ds.register` gives (warped images keep the moving images' own intensities). Signatures, with named inputs and
    outputs, and any batch:

    * `serving_default`: `moving`, `fixed` (batch, *spatial, channels) float32 -> `warped` (batch, *spatial of fixed,
      channels), and `flow` (batch, *spatial of fixed, ndim), the displacement in voxels;
    * `similarity`, where the solver's objective has a DeepSim: `fixed`, `warped` -> `similarity` (batch,), and one such
      for each level (`level_1`, ..), 1 is best; measured on the solver's grid, as in training;
    * `warp_labels`: `labels` (batch, *spatial) int32, `flow` -> `warped_labels`, nearest voxel.

    A server that watches `path` never sees half a model: it is written in a hidden folder, and renamed. Exports into
    one folder at the same time get different versions.

    Args:
        solver: a registration model; the path of one, of its run folder, or of a VoxelMorph `.h5` file; or any Solver
            that can be a graph.
        path: folder of the served model, whose name is the model's name: `path/1`, `path/2`, .. are its versions.
        format: `"tensorflow"`, or `"onnx"` for a file of each signature (needs `tf2onnx`), which checks nothing of what
            is sent.
        verbose: 1 prints a line where the warm-up file is left out, for want of `tensorflow-serving-api`.

    Returns:
        pathlib.Path of the version folder.

    Raises:
        ValueError: a solver that cannot be a graph; a path that is a file, a number, or holds the other
            format.
        OSError: the disk is full, or the folder cannot be written.

    Example:
        >>> ds.export("runs/phc-u373/deepsim", "served/u373")
        PosixPath('served/u373/1')
    """
    checks.known("format", format, EXPORT_FORMATS)
    folder = _served_folder(path, format)
    if format == "onnx":
        converter()  # refuses before any work is done
    functions, variables = signatures(open_solver(solver))
    staged = folder / f".export-{uuid.uuid4().hex}"  # no number, and so no version to a server
    with written_aside(staged) as aside, _disk_errors(folder), without_xla():
        if format == "onnx":
            write_onnx(aside, functions)
        else:
            warmed = _write_saved_model(aside, functions, variables, folder.name)
    version = _take_next_version(staged, folder)
    if format == "tensorflow" and not warmed and verbose:
        print(
            f"{version} has no warm-up file: the first request to a server will be slow. For one: pip install"
            " tensorflow-serving-api"
        )
    return version


def _write_saved_model(folder, functions, variables, name):
    root = tf.Module()
    root.read = variables  # what is not an attribute of the root is not saved
    tf.saved_model.save(root, str(folder), signatures=functions)
    return write_warmup(folder, name, functions)


def _served_folder(path, format):
    folder = pathlib.Path(path)
    if folder.name in ("", ".."):  # the current folder, or its parent: whose name is the model's
        folder = pathlib.Path(os.path.abspath(path))
    if folder.name.isdecimal() or not folder.name:
        raise ValueError(
            "path must be the folder of the served model, without a version, as in served/cells. Received:"
            f" {os.fspath(path)}."
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"path must be the folder of the served model. Received: {path}, which is a file. Choose another folder."
        )
    for other, file in EXPORT_FORMATS.items():
        if other != format and any(folder.glob(f"*/{file}")):
            raise ValueError(
                f"{path} holds versions in the format {other!r}, and a server reads one format. Choose another folder"
                f" for {format!r}."
            )
    return folder


def _take_next_version(staged, folder):
    """Rename a written folder to the number after the highest version; another export may take that number first."""
    while True:
        taken = [int(child.name) for child in folder.iterdir() if child.name.isdecimal()]
        version = folder / str(max(taken, default=0) + 1)
        try:
            return staged.rename(version)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


@contextlib.contextmanager
def _disk_errors(folder):
    """TensorFlow's errors in writing, as an OSError that names the folder."""
    try:
        yield
    except tf.errors.OpError as error:
        number = errno.ENOSPC if isinstance(error, tf.errors.ResourceExhaustedError) else errno.EIO
        raise OSError(number, os.strerror(number), str(folder)) from None
