"""From a recipe to a run folder: model, data, `fit`, history, checkpoints, and resume."""

import pathlib

import keras

from deepsim_tf import data, losses, models
from deepsim_tf.files import written_aside
from deepsim_tf.run_folder import Events, RunFolder
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
    run, events = RunFolder(folder, plateau, accumulation=recipe.accumulation), Events(folder)
    epoch, batch = run.restore(model)
    if (epoch or batch) and epoch < recipe.epochs and verbose:
        print(f"{folder}: continuing after epoch {epoch} of {recipe.epochs}" + (f" and batch {batch} of {steps_per_epoch}" if batch else ""))
    # The rest of a broken epoch first, and then, as `fit` knows only epochs of equal length, all others.
    for first, skipped in [(epoch, batch), (epoch + 1, 0)] if batch else [(epoch, 0)]:
        if first < recipe.epochs:
            model.fit(
                _batches_from(first * steps_per_epoch + skipped, in_epoch, dataset, train, recipe),
                validation_data=validation,
                initial_epoch=first,
                epochs=recipe.epochs,
                steps_per_epoch=steps_per_epoch - skipped,
                callbacks=[plateau, run, events],
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
