"""From a recipe to a run folder: model, data, `fit`, history, checkpoints, and resume."""

import contextlib
import math
import pathlib
import sys
import tempfile

import keras
import numpy as np

from deepsim_tf import data, distribute, models
from deepsim_tf._compat import graphs_let_go
from deepsim_tf.data.order import image_order, pair_order
from deepsim_tf.files import written_aside
from deepsim_tf.formats import channel_count
from deepsim_tf.networks.precision import dtype_policy
from deepsim_tf.training.callbacks import Events, RunFolder
from deepsim_tf.training.nonfinite import NonFiniteSteps, batch_names
from deepsim_tf.training.runs import check_run, open_run


def train_segmentation(recipe, folder, *, strategy=None, devices=None, max_skipped=10, verbose=1):
    """Train the supplementary task and write a run folder; a run that was killed continues.

    Args:
        recipe: a SegmentationRecipe.
        folder: the run folder; created, or the same recipe's. Several machines must share it; the chief alone writes.
        strategy, devices: see `distribute.choose`. The batch of the recipe is divided among the devices, which changes
            no result.
        max_skipped: how many steps of the run may be skipped because their loss is not finite; each is reported with
            its images.
        verbose: as in keras.Model.fit: 1 progress bars, 2 a line an epoch, 0 nothing.

    Returns:
        The trained model.

    Raises:
        ValueError: a folder of another run, images or an extractor that do not fit, devices that cannot be had, or more
            than `max_skipped` steps whose loss is not finite.
        ConnectionError: another worker has stopped.
    """
    strategy = _strategy(recipe, folder, strategy, devices)
    train, val = _images(recipe, folder, verbose)
    with _building(recipe, strategy):
        model = models.segmentation_model(train.shape, train.classes, channels=train.channels, **recipe.network)
        metrics = ["accuracy", models.SegmentationDice()]
        model.compile(
            recipe.optimizer(), "sparse_categorical_crossentropy", metrics=metrics, accumulation=recipe.accumulation
        )
    dataset = data.segmentation_dataset, image_order
    return _fit(model, recipe, folder, *dataset, train, val, strategy, max_skipped, verbose)


def train_autoencoder(recipe, folder, *, strategy=None, devices=None, max_skipped=10, verbose=1):
    """Train the unsupervised task and write a run folder; a run that was killed continues.

    Args:
        recipe: an AutoencoderRecipe.
        folder, strategy, devices, max_skipped, verbose: see `train_segmentation`.

    Returns:
        The trained model.
    """
    strategy = _strategy(recipe, folder, strategy, devices)
    train, val = _images(recipe, folder, verbose)
    with _building(recipe, strategy):
        model = models.autoencoder(train.shape, channels=train.channels, **recipe.network)
        model.compile(recipe.optimizer(), "mse", accumulation=recipe.accumulation)
    dataset = data.autoencoder_dataset, image_order
    return _fit(model, recipe, folder, *dataset, train, val, strategy, max_skipped, verbose)


def train_registration(recipe, folder, *, strategy=None, devices=None, max_skipped=10, verbose=1):
    """Train a registration network and write a run folder; a run that was killed continues.

    Args:
        recipe: a RegistrationRecipe.
        folder, strategy, devices, max_skipped, verbose: see `train_segmentation`.

    Returns:
        The trained model.
    """
    strategy = _strategy(recipe, folder, strategy, devices)
    with distribute.cluster_errors(strategy), strategy.scope():
        similarity = recipe.similarity()
    train, val = _images(recipe, folder, verbose, similarity)
    with _building(recipe, strategy):
        model = models.registration_model(
            train.shape,
            channels=train.channels,
            int_steps=recipe.int_steps,
            classes=train.classes,
            intensity=train.intensity,
            image_fit=train.fit,
            spacing=train.spacing if train.orientation else None,  # without a header, the spacing is a convention
            orientation=train.orientation,
            **recipe.network,
        )
        goal = {"regularizer": recipe.regularization(), "weight": recipe.weight, "supervised": recipe.supervised()}
        model.compile(recipe.optimizer(), similarity, **goal, accumulation=recipe.accumulation)
    _report_reaction(model, train, report=distribute.is_chief(strategy))
    dataset = data.registration_dataset, pair_order
    return _fit(model, recipe, folder, *dataset, train, val, strategy, max_skipped, verbose)


def _strategy(recipe, folder, strategy, devices):
    """The strategy, before anything else is computed, after the checks that need no images."""
    strategy = distribute.choose(strategy, devices)
    distribute.check_batch(strategy, recipe.batch_size)
    check_run(folder, recipe)
    return strategy


@contextlib.contextmanager
def _building(recipe, strategy):
    """Where the recipe's model is made: its seed and precision, on the strategy's devices."""
    keras.utils.set_random_seed(recipe.seed)
    with distribute.cluster_errors(strategy), strategy.scope(), dtype_policy(recipe.policy):
        yield


def _images(recipe, folder, verbose, similarity=None):
    """The training and validation images, all checked: a bad file shows now, not after hours."""
    train, val = recipe.images("train"), recipe.images("val")
    _check_extractor(recipe, similarity, train)
    started = (pathlib.Path(folder) / "checkpoints").exists()  # they were checked when the run began
    for images in (train, val):
        if images.cached or not started:
            images.check(verbose=verbose == 1)
    return train, val


def _fit(model, recipe, folder, dataset, make_order, train, val, strategy, max_skipped, verbose):
    """`fit` with the run folder's callbacks, from the newest checkpoint on."""
    validation, validation_steps = dataset(val, recipe.batch_size, training=False), None
    if strategy.num_replicas_in_sync > 1:  # Keras cannot count slices, and would warn at their end
        validation, validation_steps = (
            distribute.share(strategy, validation.repeat(), recipe.batch_size),
            len(validation),
        )
    # This also refuses what cannot be trained, before there is a folder.
    order = make_order(train, recipe.batch_size, training=True, seed=recipe.seed)
    steps_per_epoch = recipe.steps_per_epoch or len(order)
    folder, chief, alone = pathlib.Path(folder), distribute.is_chief(strategy), distribute.workers(strategy) == 1
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.1, patience=recipe.patience)
    with contextlib.ExitStack() as stack:
        stack.enter_context(distribute.cluster_errors(strategy))
        stack.enter_context(graphs_let_go())
        # To read the metrics and sums that a checkpoint holds, all workers add up theirs. So all write one, after every
        # epoch, as clocks differ; but only the chief's is the run's, and the others' end with this block.
        target = (
            folder
            if chief
            else pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deepsim-worker-")))
        )
        when = {} if alone else {"every": -1, "inside": math.inf}
        run = RunFolder(target, plateau, accumulation=recipe.accumulation, source=folder, **when)
        (epoch, batch), finished = run.restore(model), (folder / "model.keras").exists()
        # This also lets all look before the chief writes.
        distribute.meet(strategy, "the batches that are done", epoch * steps_per_epoch + batch)
        if chief:
            open_run(folder, recipe)
        names = batch_names(train, order, steps_per_epoch)
        nonfinite = NonFiniteSteps(
            run, names, limit=max_skipped, report=chief
        )  # before `run`: no checkpoint of a step that ends it
        callbacks = [nonfinite, plateau, run, *([Events(folder)] if chief else [])]
        if (epoch or batch) and epoch < recipe.epochs and verbose and chief:
            print(
                f"{folder}: continuing after epoch {epoch} of {recipe.epochs}"
                + (f" and batch {batch} of {steps_per_epoch}" if batch else "")
            )
        # The rest of a broken epoch first, and then, as `fit` knows only epochs of equal length, all others.
        for first, skipped in [(epoch, batch), (epoch + 1, 0)] if batch else [(epoch, 0)]:
            if first < recipe.epochs:
                batches = _batches_from(first * steps_per_epoch + skipped, order, dataset, train, recipe)
                model.fit(
                    distribute.share(strategy, batches, recipe.batch_size),
                    validation_data=validation,
                    validation_steps=validation_steps,
                    shuffle=False,  # the dataset does
                    initial_epoch=first,
                    epochs=recipe.epochs,
                    steps_per_epoch=steps_per_epoch - skipped,
                    callbacks=callbacks,
                    verbose=verbose if chief else 0,
                )
        if not finished:
            with written_aside(target / "model.keras") as aside:
                model.save(aside)
    return model


def _check_extractor(recipe, similarity, images):
    """Refuse an extractor of other images before there is a folder."""
    extractor = getattr(similarity, "extractor", None)
    if extractor is not None and (extractor.ndim, extractor.channels) != (len(images.shape), images.channels):
        expected = f"{len(images.shape)}-D images of {channel_count(images.channels)}, as {images.name} has"
        colour = " For a network of colour images, save and name FeatureExtractor.from_model(..., channels='repeat')."
        raise ValueError(
            f"The extractor {recipe.extractor} takes {extractor.ndim}-D images of {extractor.channels} channel(s)."
            f" Expected {expected}." + (colour if (extractor.channels, images.channels) == (3, 1) else "")
        )


def _report_reaction(model, images, report):
    """Say on stderr where a similarity does not react when the training images move."""
    some = np.stack([images[k][0] for k in sorted({0, len(images) // 2})])
    for sentence in model.reaction_warnings(some):
        if report:
            print(f"deepsim: {sentence}", file=sys.stderr)


def _batches_from(step, order, dataset, images, recipe):
    """The endless stream of training batches from batch number `step` on: a function of (seed, step)."""
    epoch, batch = divmod(step, len(order))  # of the images, not of the recipe
    arguments = {"training": True, "seed": recipe.seed, "augment": recipe.augmentation(len(images.shape))}
    return dataset(images, recipe.batch_size, **arguments, first_epoch=epoch, first_batch=batch)
