"""From names and a few changes to a recipe: what the tables say, checked."""

import os

from deepsim_tf import checks, data
from deepsim_tf.losses.table import LOSSES, REGULARIZERS
from deepsim_tf.networks.unet import BACKBONES
from deepsim_tf.recipes.datasets import DATASETS, weight_of
from deepsim_tf.recipes.extractors import EXTRACTORS
from deepsim_tf.recipes.recipe import (
    AUGMENTATIONS,
    PRECISIONS,
    AutoencoderRecipe,
    RegistrationRecipe,
    SegmentationRecipe,
)

NAMES = {"backbone": BACKBONES, "augment": AUGMENTATIONS, "precision": PRECISIONS, "regularizer": REGULARIZERS}
LEAST = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 1, "accumulation": 1, "downsample": 1, "patience": 1}
LEAST |= {"seed": 0, "weight": 0, "int_steps": 0}


def segmentation(dataset, preset, **changes):
    """The SegmentationRecipe of a preset, with `changes` to its fields (None changes nothing)."""
    return SegmentationRecipe(**_resolve("segmentation", dataset, preset, changes))


def autoencoder(dataset, preset, **changes):
    """The AutoencoderRecipe of a preset, with `changes` to its fields (None changes nothing)."""
    return AutoencoderRecipe(**_resolve("autoencoder", dataset, preset, changes))


def registration(dataset, preset, loss, **changes):
    """The RegistrationRecipe of a preset and a loss, with `changes` to its fields (None changes nothing).

    Args:
        dataset, preset, loss: names of `DATASETS`, of its presets, and of `LOSSES`.
        changes: fields of the recipe; `loss_options` those options of the loss that are not as its entry has them.

    Raises:
        ValueError: an unknown name, an option that the loss does not have, a value out of range, an extractor that is
            missing or not needed, or a weight that nothing says.

    Example:
        >>> recipes.registration("phc-u373", "paper", "ncc", data="U373", loss_options={"window": 5}).loss_options
        {'window': 5}
    """
    checks.known("loss", loss, LOSSES)
    resolved = _resolve("registration", dataset, preset, changes)
    _check_extractor(loss, dataset, resolved.get("extractor"))
    options = resolve_options(loss, dataset, resolved.pop("loss_options", {}))
    weight = resolved.pop("weight", weight_of(dataset, loss))
    if weight is None:
        raise ValueError(f"The weight of the regulariser is not known for loss {loss!r} on {dataset!r}: pass --weight.")
    return RegistrationRecipe(loss=loss, loss_options=options, weight=weight, **resolved)


def resolve_options(loss, dataset, options):
    """All options of a loss, those given and, for images of a data set, the others."""
    entry = LOSSES[loss]
    checks.options("loss", loss, options, {name: other.options for name, other in LOSSES.items()})
    found = entry.defaults(DATASETS[dataset].intensities) | options
    if entry.extractor is None:
        entry.loss(None, found)  # refuses what is out of range, such as an even window
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def check_names(recipe):
    """Refuse a recipe, as read from a file, whose names or options the tables do not have."""
    checks.known("dataset", recipe.dataset, DATASETS)
    check_dataset_options(recipe.dataset, recipe.options)
    for name, known in {**NAMES, "loss": LOSSES}.items():
        if hasattr(recipe, name):
            checks.known(name, getattr(recipe, name), known)
    if recipe.task == "registration":
        resolve_options(recipe.loss, recipe.dataset, recipe.loss_options)


def check_dataset_options(dataset, options):
    """Refuse arguments that the dataset's function does not have, and values of another kind."""
    checks.options("dataset", dataset, options, {name: entry.options for name, entry in DATASETS.items()})


def _check_extractor(loss, dataset, path):
    extractor = EXTRACTORS.get(LOSSES[loss].extractor)
    if extractor is None:
        if path:
            raise ValueError(f"loss {loss!r} uses no extractor. Received: extractor={path!r}. Leave it out.")
        return
    if extractor.command and not path:
        raise ValueError(f"loss {loss!r} needs an extractor: {extractor.expected} (--extractor RUN).")
    if path and not os.path.exists(path):
        raise ValueError(f"No extractor at {path}. Expected {extractor.expected}.")
    axes = DATASETS[dataset].ndim
    if extractor.ndim and axes and extractor.ndim != axes:
        raise ValueError(
            f"loss {loss!r} is for {extractor.ndim}-D images. Dataset {dataset!r} has {axes}-D images: choose another"
            " loss."
        )


def _resolve(task, dataset, preset, changes):
    """The fields of a recipe: those of the preset, and the changes, checked."""
    checks.known("dataset", dataset, DATASETS)
    entry = DATASETS[dataset]
    checks.known("preset", preset, entry.presets)
    changes = {name: value for name, value in changes.items() if value is not None}
    check_dataset_options(dataset, changes.get("options", {}))
    if "label_map" in changes.get("options", {}):
        # Its content, not its path: the run then knows what it was trained on, and the folder may move.
        label_map = [list(pair) for pair in data.read_label_map(changes["options"]["label_map"])]
        changes["options"] = {**changes["options"], "label_map": label_map}
    for name in ("data", "extractor"):
        if name in changes:
            changes[name] = os.path.abspath(changes[name])
    if changes.get("cache", "auto") not in ("auto", "memory", "none"):
        changes["cache"] = os.path.abspath(changes["cache"])
    if entry.place and "data" not in changes:
        what = "folder that holds it (--data DIR)" if entry.place == "folder" else "CSV file (--data FILE.csv)"
        raise ValueError(f"dataset {dataset!r} needs the {what}.")
    for name, known in NAMES.items():
        if name in changes:
            checks.known(name, changes[name], known)
    for name, least in LEAST.items():
        if changes.get(name, least) < least:
            raise ValueError(f"{name} must be at least {least}. Received: {name}={changes[name]}.")
    if not changes.get("learning_rate", 1) > 0:
        raise ValueError(f"learning_rate must be above 0. Received: learning_rate={changes['learning_rate']}.")
    return {"dataset": dataset, "preset": preset, **entry.presets[preset].of(task), **changes}
