"""The callbacks that keep a run folder: history, checkpoints, and resume; TensorBoard's events."""

import errno
import os
import pathlib
import time

import keras
import numpy as np
import pandas
import tensorflow as tf

from deepsim_tf.files import remove_leftovers, written_aside
from deepsim_tf.training import checkpoints


class RunFolder(keras.callbacks.Callback):
    """Writes history.csv after epochs, checkpoints after and inside them, and restores the newest whole one.

    A checkpoint holds all variables (`deepsim_tf.training.checkpoints`), the history so far, where the learning-rate
    schedule stands and, inside an epoch, the sums of the metrics: a run that was killed ends at the weights and the
    history of an undisturbed one.

    Args:
        folder: the run folder.
        plateau: the ReduceLROnPlateau callback whose state belongs to the run.
        accumulation: batches in one update, for the column `step` (updates so far).
        every: seconds from the last checkpoint to the next at the end of an epoch; the last epoch always writes one.
        inside: seconds from the last checkpoint to the next inside an epoch.
        source: the folder that `restore` reads, where it is another one: of several workers only the chief writes the
            run folder.
    """

    PLATEAU = ("best", "wait", "cooldown_counter")

    def __init__(self, folder, plateau, *, accumulation=1, every=20, inside=600, source=None):
        super().__init__()
        self.folder, self.plateau, self.accumulation = pathlib.Path(folder), plateau, accumulation
        self.source = pathlib.Path(source or folder)
        self.every, self.inside, self.saved_at = every, inside, time.monotonic()
        self.rows, self.schedule = [], {}
        self.first_batch, self.put_back, self.step_seconds = 0, None, []  # of the epoch that a kill broke

    def restore(self, model):
        """Load the newest whole checkpoint into the model.

        Returns:
            (epochs, batches): how many epochs are done, and how many batches of the next one. `fit` with as many steps
            as the epoch still has ends after it; a second `fit` does the rest.
        """
        for name in ("history.csv", "model.keras", "checkpoints/*"):
            remove_leftovers(self.folder / name)
        new = {"history": [], "schedule": {}, "step_seconds": [], "epoch": 0, "batch": 0}
        state, self.put_back = checkpoints.restore(self.source / "checkpoints", model) or (new, None)
        model.skipped.count.assign(state.get("skipped", 0))
        self.rows, self.schedule, self.step_seconds, self.first_batch = (
            state[name] for name in ("history", "schedule", "step_seconds", "batch")
        )
        self._write_history()  # it may be ahead of the checkpoint, by epochs that now come again
        return state["epoch"], self.first_batch

    def on_train_begin(self, logs=None):
        """After ReduceLROnPlateau has reset itself: put back where it stood."""
        for name, value in self.schedule.items():
            setattr(self.plateau, name, value)

    def on_epoch_begin(self, epoch, logs=None):
        """Start the list of the epoch's step times.

        In a broken epoch, put back the sums of the metrics, which Keras has reset.
        """
        self.epoch = epoch
        if not self.first_batch:
            self.step_seconds = []
            return
        self.put_back()

    def on_train_batch_begin(self, batch, logs=None):
        """Start the clock of a step."""
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """Stop the clock of a step (validation is not counted), and write a checkpoint where it is time."""
        self.step_seconds.append(time.perf_counter() - self.started)
        # After an epoch's last batch there is no batch to continue with, and the checkpoint of its end is near.
        if batch + 1 < self.params["steps"] and time.monotonic() - self.saved_at > self.inside:
            self._write_checkpoint(self.epoch, self.first_batch + batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        """Add a row to history.csv, and write a checkpoint where it is time."""
        seconds_before = self.rows[-1]["seconds"] if self.rows else 0.0
        row = {
            "epoch": epoch + 1,
            "step": (epoch + 1) * len(self.step_seconds) // self.accumulation,
            "seconds": round(seconds_before + sum(self.step_seconds), 3),
            # The median leaves out the first step, which builds the graph.
            "seconds_per_step": round(float(np.median(self.step_seconds)), 5),
        }
        self.rows.append({**row, **{name: float(value) for name, value in logs.items()}})
        self.schedule = {name: getattr(self.plateau, name) for name in self.PLATEAU}
        self._write_history()
        if epoch + 1 == self.params["epochs"] or time.monotonic() - self.saved_at > self.every:
            self._write_checkpoint(epoch + 1, 0)
        if self.first_batch:
            self.first_batch, self.model.stop_training = 0, True  # the next `fit` has whole epochs

    def _write_history(self):
        if not self.rows:
            (self.folder / "history.csv").unlink(missing_ok=True)
            return
        with written_aside(self.folder / "history.csv") as aside:
            pandas.DataFrame(self.rows).to_csv(aside, index=False)

    def _write_checkpoint(self, epoch, batch):
        state = {"history": self.rows, "schedule": self.schedule, "step_seconds": self.step_seconds if batch else []}
        state["skipped"] = int(self.model.skipped.count.numpy())
        checkpoints.write(self.folder / "checkpoints", self.model, state, epoch, batch)
        self.saved_at = time.monotonic()


class Events(keras.callbacks.TensorBoard):
    """TensorBoard's events of a run folder.

    A full disk is an OSError that names them, and no TensorFlow error without a message.
    """

    def __init__(self, folder):
        super().__init__(pathlib.Path(folder) / "events", write_graph=False)

    def on_epoch_end(self, epoch, logs=None):
        """Write the epoch's losses."""
        self._written(super().on_epoch_end, epoch, logs)

    def on_test_end(self, logs=None):
        """Write what is left of the validation."""
        self._written(super().on_test_end, logs)

    def on_train_end(self, logs=None):
        """Write what is left."""
        self._written(super().on_train_end, logs)

    def _written(self, write, *arguments):
        try:
            write(*arguments)
        except tf.errors.OpError as error:
            number = errno.ENOSPC if isinstance(error, tf.errors.ResourceExhaustedError) else errno.EIO
            raise OSError(number, os.strerror(number), str(self.log_dir)) from None
