"""From a recipe to a run folder: model, data, `fit`, history, checkpoints, and resume."""

import json
import pathlib
import shutil
import time

import keras
import numpy as np
import pandas

from deepsim_tf import data, losses, models
from deepsim_tf.files import written_aside
from deepsim_tf.runs import check_run, open_run


def train_segmentation(recipe, folder, *, verbose=1):
    """Train the supplementary task and write a run folder; a run that was killed continues.

    Args:
        recipe: a SegmentationRecipe.
        folder: the run folder; created, or the same recipe's.
        verbose: as in keras.Model.fit: 1 progress bars, 2 a line an epoch, 0 nothing.

    Returns:
        The trained model.
    """
    check_run(folder, recipe)
    train, val = _images(recipe, folder, verbose)
    keras.utils.set_random_seed(recipe.seed)
    model = models.segmentation_model(train.shape, train.classes, **recipe.network)
    dice = keras.metrics.MeanMetricWrapper(models.segmentation_dice, name="dice")
    model.compile(recipe.optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy", dice])
    return _fit(model, recipe, folder, data.segmentation_dataset, train, val, verbose)


def train_autoencoder(recipe, folder, *, verbose=1):
    """Train the unsupervised task and write a run folder; a run that was killed continues.

    Args:
        recipe: an AutoencoderRecipe.
        folder, verbose: see `train_segmentation`.

    Returns:
        The trained model.
    """
    check_run(folder, recipe)
    train, val = _images(recipe, folder, verbose)
    keras.utils.set_random_seed(recipe.seed)
    model = models.autoencoder(train.shape, **recipe.network)
    model.compile(recipe.optimizer(), "mse")
    return _fit(model, recipe, folder, data.autoencoder_dataset, train, val, verbose)


def train_registration(recipe, folder, *, verbose=1):
    """Train a registration network and write a run folder; a run that was killed continues.

    Args:
        recipe: a RegistrationRecipe.
        folder, verbose: see `train_segmentation`.

    Returns:
        The trained model.
    """
    check_run(folder, recipe)
    similarity = recipe.similarity()
    train, val = _images(recipe, folder, verbose, similarity)
    keras.utils.set_random_seed(recipe.seed)
    model = models.registration_model(
        train.shape,
        int_steps=recipe.int_steps,
        classes=train.classes,
        intensity=train.intensity,
        image_fit=train.fit,
        **recipe.network,
    )
    supervised = recipe.supervised()
    model.compile(recipe.optimizer(), similarity, regularizer=losses.Diffusion(), weight=recipe.weight, supervised=supervised)
    return _fit(model, recipe, folder, data.registration_dataset, train, val, verbose)


def _images(recipe, folder, verbose, similarity=None):
    """The training and validation images, all checked: a bad file shows now, not after hours."""
    train, val = recipe.images("train"), recipe.images("val")
    _check_extractor(recipe, similarity, train)
    started = (pathlib.Path(folder) / "checkpoints").exists()  # they were checked when the run began
    for images in (train, val):
        if images.cached or not started:
            images.check(verbose=verbose == 1)
    return train, val


def _fit(model, recipe, folder, dataset, train, val, verbose):
    """`fit` with the run folder's callbacks, from the newest checkpoint on."""
    validation = dataset(val, recipe.batch_size, training=False)
    in_epoch = len(dataset(train, recipe.batch_size, training=True))  # this also refuses what cannot be trained, before there is a folder
    steps_per_epoch = recipe.steps_per_epoch or in_epoch
    folder = open_run(folder, recipe)
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.1, patience=recipe.patience)
    run = RunFolder(folder, plateau, accumulation=recipe.accumulation)
    first_epoch = run.restore(model)
    if first_epoch < recipe.epochs:
        if first_epoch and verbose:
            print(f"{folder}: continuing after epoch {first_epoch} of {recipe.epochs}")
        model.fit(
            _batches_from(first_epoch * steps_per_epoch, in_epoch, dataset, train, recipe),
            validation_data=validation,
            initial_epoch=first_epoch,
            epochs=recipe.epochs,
            steps_per_epoch=steps_per_epoch,
            callbacks=[plateau, run, keras.callbacks.TensorBoard(folder / "events", write_graph=False)],
            verbose=verbose,
        )
    if not (folder / "model.keras").exists():
        with written_aside(folder / "model.keras") as aside:
            model.save(aside)
    return model


def _check_extractor(recipe, similarity, images):
    """Refuse an extractor of other images before there is a folder."""
    extractor = getattr(similarity, "extractor", None)
    if extractor is not None and (extractor.ndim, extractor.channels) != (len(images.shape), 1):
        raise ValueError(
            f"The extractor {recipe.extractor} takes {extractor.ndim}-D images of {extractor.channels} channel(s)."
            f" Expected {len(images.shape)}-D images of 1 channel, as {images.name} has."
        )


def _batches_from(step, in_epoch, dataset, images, recipe):
    """The endless stream of training batches from batch number `step` on: a function of (seed, step).

    `in_epoch` batches are an epoch of the images, which is not that of the recipe.
    """
    arguments = {"training": True, "seed": recipe.seed, "augment": recipe.augmentation(len(images.shape))}
    return dataset(images, recipe.batch_size, **arguments, first_epoch=step // in_epoch).skip(step % in_epoch)


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
