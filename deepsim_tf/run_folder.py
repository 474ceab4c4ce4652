"""The callback that keeps a run folder: history, checkpoints, and resume."""

import json
import pathlib
import shutil
import time

import keras
import numpy as np
import pandas

from deepsim_tf.files import written_aside


class RunFolder(keras.callbacks.Callback):
    """Writes history.csv and checkpoints after epochs, and restores the newest whole checkpoint.

    A checkpoint is a folder epoch_NNNN with the weights and optimiser (Keras's weights file), the states of random
    generators (dropout), which Keras leaves out, and state.json: the history so far and where the learning-rate schedule
    stands. It is written aside and renamed, so that one that was cut short is never taken for a checkpoint.

    Args:
        folder: the run folder.
        plateau: the ReduceLROnPlateau callback whose state belongs to the run.
        accumulation: batches in one update, for the column `step` (updates so far).
        every: seconds that must have passed since the last checkpoint; the last epoch always writes one.
    """

    PLATEAU = ("best", "wait", "cooldown_counter")

    def __init__(self, folder, plateau, *, accumulation=1, every=20):
        super().__init__()
        self.folder, self.plateau, self.accumulation, self.every = pathlib.Path(folder), plateau, accumulation, every
        self.rows, self.state, self.saved_at = [], {}, time.monotonic()
        self.step_seconds = []

    def restore(self, model):
        """Load the newest checkpoint into the model; returns the number of epochs that are done."""
        found = sorted((self.folder / "checkpoints").glob("epoch_[0-9]*"))
        if not found:
            return 0
        self.state = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
        self.rows = self.state["history"]
        model.optimizer.build(model.trainable_variables)
        model.load_weights(found[-1] / "model.weights.h5")
        with np.load(found[-1] / "generators.npz") as states:
            for i, variable in enumerate(_generator_states(model)):
                variable.assign(states[f"arr_{i}"])
        self._write_history()  # it may be an epoch ahead of the checkpoint
        return len(self.rows)

    def on_train_begin(self, logs=None):
        """After ReduceLROnPlateau has reset itself: put back where it stood."""
        for name in self.PLATEAU:
            if name in self.state:
                setattr(self.plateau, name, self.state[name])

    def on_epoch_begin(self, epoch, logs=None):
        """Start the list of the epoch's step times."""
        self.step_seconds = []

    def on_train_batch_begin(self, batch, logs=None):
        """Start the clock of a step."""
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """Stop the clock of a step; validation is not counted."""
        self.step_seconds.append(time.perf_counter() - self.started)

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
        self._write_history()
        if epoch + 1 == self.params["epochs"] or time.monotonic() - self.saved_at > self.every:
            self._write_checkpoint(epoch + 1)

    def _write_history(self):
        with written_aside(self.folder / "history.csv") as aside:
            pandas.DataFrame(self.rows).to_csv(aside, index=False)

    def _write_checkpoint(self, epoch):
        checkpoint = self.folder / "checkpoints" / f"epoch_{epoch:05d}"
        shutil.rmtree(checkpoint, ignore_errors=True)
        with written_aside(checkpoint) as aside:
            aside.mkdir()
            self.model.save_weights(aside / "model.weights.h5")
            np.savez(aside / "generators.npz", *[variable.numpy() for variable in _generator_states(self.model)])
            state = {"history": self.rows, **{name: float(getattr(self.plateau, name)) for name in self.PLATEAU}}
            (aside / "state.json").write_text(json.dumps(state), encoding="utf-8")
        # Older ones, and what a killed process left half-written.
        for old in [*sorted(checkpoint.parent.glob("epoch_[0-9]*"))[:-1], *checkpoint.parent.glob(".epoch_*")]:
            shutil.rmtree(old)
        self.saved_at = time.monotonic()


def _generator_states(model):
    """Variables of a model that are neither weights nor metrics: the states of its random generators."""
    known = {id(variable) for variable in [*model.weights, *model.metrics_variables]}
    return [variable for variable in model.variables if id(variable) not in known]
