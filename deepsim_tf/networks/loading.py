"""A Keras model from a file or a run folder."""

import os

import keras

from deepsim_tf import checks


def load_model(path):
    """A Keras model from a `.keras` file or a run folder.

    Code inside of a file (a Lambda layer's) is refused and never run.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        path = os.path.join(path, "model.keras")
    checks.existing_file(path, "model")
    try:
        return keras.models.load_model(path, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # Keras, h5py and zipfile meet damaged files with nearly any exception
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        expected = "Expected a .keras file written by this package or by model.save."
        raise ValueError(f"{path} cannot be read as a Keras model ({reason}). {expected}") from None
