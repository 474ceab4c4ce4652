"""Everything that defines a training, as typed recipes; `deepsim_tf.recipes.presets` holds the tables.

The resolved recipe is written beside the weights, as config.json.
"""

import dataclasses
import os

import keras

from deepsim_tf import augmentation, checks, data
from deepsim_tf.networks.unet import BACKBONES
from deepsim_tf.recipes.losses import LOSSES, load_extractor
from deepsim_tf.recipes.presets import AUTOENCODER, INTENSITIES, REGISTRATION, SEGMENTATION, WEIGHTS

SYNTHETIC_PAIRS = {"train": 64, "val": 8, "test": 24}


def _synthetic(kind, size):
    # An unknown split is for `synthetic` to refuse. What it makes is in memory, and has no problems.
    return lambda root, split, **_: data.synthetic(kind, split, size=size, count=SYNTHETIC_PAIRS.get(split, 1))


DATASETS = {
    "phc-u373": data.phc_u373,
    "platelet-em": data.platelet_em,
    "brain-mri": data.brain_mri,
    "hippocampus": data.hippocampus,
    "csv": data.from_csv,
    "synthetic-platelet": _synthetic("platelet", (96, 96)),
    "synthetic-cells": _synthetic("cells", (96, 96)),
    "synthetic-brain": _synthetic("brain", (48, 56, 48)),
}
OPTIONS = {
    "csv": ("intensity", "shape", "fit", "classes", "label_map", "slices"),
    "platelet-em": ("merge",),
    "brain-mri": ("label_map",),
}
AUGMENTATIONS = ("none", "spatial", "spatial+intensity")
PRECISIONS = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}  # and Keras's policy, with float32 weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What both trainings share. An epoch is `steps_per_epoch` batches, followed by a validation."""

    dataset: str
    preset: str
    data: str | None = None  # folder of the dataset, or the CSV file of own data
    cache: str = "auto"  # "auto", "memory", "none", or a folder
    options: dict = dataclasses.field(default_factory=dict)  # further arguments of the dataset's function
    downsample: int = 1  # images are averaged over blocks of this side
    backbone: str = "voxelmorph"
    features: tuple[int, ...] | None = (16, 32, 32, 32)
    batch_norm: bool = True  # this and dropout: of the paper's backbone
    dropout: bool = True
    batch_size: int = 4
    accumulation: int = 1  # batches in one update of the weights
    precision: str | None = None  # one of PRECISIONS; None is float32
    learning_rate: float = 1e-3
    epochs: int = 10
    steps_per_epoch: int | None = 50  # None: once through the training images
    patience: int = 200  # epochs without a better val_loss until the learning rate drops to a tenth
    augment: str = "spatial"  # one of AUGMENTATIONS
    seed: int = 0

    def images(self, split):
        """The ImageSet of a split, at the recipe's resolution."""
        images = self.native_images(split)
        return images.downsampled(self.downsample) if self.downsample > 1 else images

    def native_images(self, split):
        """The ImageSet of a split, at the dataset's own resolution."""
        return DATASETS[self.dataset](
            self.data, split, cache=None if self.cache == "none" else self.cache, **self.options
        )

    def augmentation(self, ndim):
        """The paper's for 2-D or 3-D images.

        Rotation, scale, shear and flips, or small rotations and flips; None in "none".
        """
        spatial = (
            augmentation.RandomAffine() if ndim == 2 else augmentation.RandomAffine(rotation=5, scale=(1, 1), shear=0)
        )
        if self.augment == "spatial+intensity":
            return augmentation.Compose(
                [spatial, augmentation.RandomBiasField(), augmentation.RandomGamma(), augmentation.RandomNoise()]
            )
        return None if self.augment == "none" else spatial

    @property
    def network(self):
        """The arguments that the networks of all tasks share."""
        return {name: getattr(self, name) for name in ("backbone", "features", "batch_norm", "dropout")}

    @property
    def policy(self):
        """The Keras dtype policy of the network's layers."""
        return PRECISIONS[self.precision or "float32"]

    def optimizer(self):
        """Adam as the authors use it (PyTorch's epsilon)."""
        return keras.optimizers.Adam(self.learning_rate, epsilon=1e-8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationRecipe(Recipe):
    """The supplementary task."""

    task = "segmentation"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe(Recipe):
    """The unsupervised task, for DeepSim_ae."""

    task = "autoencoder"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegistrationRecipe(Recipe):
    """Registration with one of `LOSSES`, `similarity + weight * diffusion`."""

    task = "registration"
    loss: str
    weight: float  # lambda
    extractor: str | None = None  # run folder or .keras file of the model whose encoder is taken; weights of VGG16
    int_steps: int = 0

    def similarity(self):
        """The Keras loss on (fixed, warped)."""
        choice = LOSSES[self.loss]
        extractor = load_extractor(choice.extractor, self.extractor) if choice.extractor else None
        return choice.make(extractor, INTENSITIES.get(self.dataset, (0.0, 1.0)))

    def supervised(self):
        """The Keras loss on one-hot labels (fixed, warped), or None."""
        return keras.losses.MeanSquaredError() if LOSSES[self.loss].supervised else None


def segmentation(dataset, preset, **changes):
    """The SegmentationRecipe of a preset, with `changes` to its fields (None changes nothing)."""
    return SegmentationRecipe(**_resolve(SEGMENTATION, dataset, preset, changes))


def autoencoder(dataset, preset, **changes):
    """The AutoencoderRecipe of a preset, with `changes` to its fields (None changes nothing)."""
    return AutoencoderRecipe(**_resolve(AUTOENCODER, dataset, preset, changes))


def registration(dataset, preset, loss, **changes):
    """The RegistrationRecipe of a preset and a loss, with `changes` to its fields (None changes nothing)."""
    checks.known("loss", loss, LOSSES)
    resolved = _resolve(REGISTRATION, dataset, preset, changes)
    task, weight = LOSSES[loss].extractor, resolved.pop("weight", WEIGHTS[dataset][loss])
    if task in ("segmentation", "autoencoder") and not resolved.get("extractor"):
        raise ValueError(
            f"loss {loss!r} needs an extractor: the run folder of train-{task}, or a .keras file (--extractor RUN)."
        )
    if task is None and resolved.get("extractor"):
        raise ValueError(
            f"loss {loss!r} uses no extractor. Received: extractor={resolved['extractor']!r}. Leave it out."
        )
    if weight is None:
        raise ValueError(f"loss {loss!r} is for 2-D images. Dataset {dataset!r} has volumes: choose another loss.")
    return RegistrationRecipe(loss=loss, weight=weight, **resolved)


def check_options(dataset, options):
    """Refuse arguments that the dataset's function does not have."""
    for name in options:
        if name not in OPTIONS.get(dataset, ()):
            owners = ", ".join(repr(owner) for owner in OPTIONS if name in OPTIONS[owner])
            hint = (
                f"It belongs to dataset {owners}."
                if owners
                else f"Available: {', '.join(OPTIONS.get(dataset, ())) or 'none'}."
            )
            raise ValueError(f"dataset {dataset!r} has no option {name!r}. {hint}")


def _resolve(presets, dataset, preset, changes):
    checks.known("dataset", dataset, DATASETS)
    checks.known("preset", preset, [known for name, known in presets if name == dataset])
    changes = {name: value for name, value in changes.items() if value is not None}
    check_options(dataset, changes.get("options", {}))
    if "label_map" in changes.get("options", {}):
        # Its content, not its path: the run then knows what it was trained on, and the folder may move.
        label_map = [list(pair) for pair in data.read_label_map(changes["options"]["label_map"])]
        changes["options"] = {**changes["options"], "label_map": label_map}
    for name in ("data", "extractor"):
        if name in changes:
            changes[name] = os.path.abspath(changes[name])
    if changes.get("cache", "auto") not in ("auto", "memory", "none"):
        changes["cache"] = os.path.abspath(changes["cache"])
    if not dataset.startswith("synthetic-") and "data" not in changes:
        what = "CSV file (--data FILE.csv)" if dataset == "csv" else "folder that holds it (--data DIR)"
        raise ValueError(f"dataset {dataset!r} needs the {what}.")
    if changes.get("extractor") and not os.path.exists(changes["extractor"]):
        raise ValueError(
            f"No extractor at {changes['extractor']}. Expected the run folder of train-segmentation, or a .keras file."
        )
    for name, options in (("backbone", BACKBONES), ("augment", AUGMENTATIONS), ("precision", PRECISIONS)):
        if name in changes:
            checks.known(name, changes[name], options)
    least = {
        "epochs": 1,
        "steps_per_epoch": 1,
        "batch_size": 1,
        "accumulation": 1,
        "downsample": 1,
        "seed": 0,
        "weight": 0,
        "int_steps": 0,
    }
    for name, value in least.items():
        if changes.get(name, value) < value:
            raise ValueError(f"{name} must be at least {value}. Received: {name}={changes[name]}.")
    if not changes.get("learning_rate", 1) > 0:
        raise ValueError(f"learning_rate must be above 0. Received: learning_rate={changes['learning_rate']}.")
    if changes.get("precision") == "float32":  # as the runs before there was a choice
        del changes["precision"]
    return {"dataset": dataset, "preset": preset, **presets[dataset, preset], **changes}
