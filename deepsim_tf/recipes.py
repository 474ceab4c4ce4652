"""Everything that defines a training, as typed recipes with named presets.

`paper` holds the published settings (Czolbe et al. 2023; authors' repository); `cpu` is sized for two cores. The
resolved recipe is written beside the weights, as config.json.
"""

import dataclasses
import os

import keras

from deepsim_tf import augmentation, checks, data, losses
from deepsim_tf.models.unet import BACKBONES

SYNTHETIC_PAIRS = {"train": 64, "val": 8, "test": 24}


def _synthetic(kind, size):
    # An unknown split is for `synthetic` to refuse.
    return lambda root, split: data.synthetic(kind, split, size=size, count=SYNTHETIC_PAIRS.get(split, 1))


DATASETS = {
    "phc-u373": data.phc_u373,
    "synthetic-platelet": _synthetic("platelet", (96, 96)),
    "synthetic-cells": _synthetic("cells", (96, 96)),
    "synthetic-brain": _synthetic("brain", (48, 56, 48)),
}
LOSSES = {
    "mse": lambda extractor: keras.losses.MeanSquaredError(),
    "ncc": lambda extractor: losses.LocalNCC(),
    "deepsim": lambda extractor: losses.DeepSim(extractor),
}
TITLES = {"mse": "MSE", "ncc": "NCC", "deepsim": "DeepSim"}  # in tables and figures


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What both trainings share. An epoch is `steps_per_epoch` batches, followed by a validation."""

    dataset: str
    preset: str
    data: str | None = None  # folder of the dataset
    downsample: int = 1  # images are averaged over blocks of this side
    backbone: str = "voxelmorph"
    features: tuple[int, ...] = (16, 32, 32, 32)
    batch_size: int = 4
    accumulation: int = 1  # batches in one update of the weights
    learning_rate: float = 1e-3
    epochs: int = 10
    steps_per_epoch: int = 50
    patience: int = 200  # epochs without a better val_loss until the learning rate drops to a tenth
    augment: bool = True
    seed: int = 0

    @property
    def task(self):
        """`"segmentation"` or `"registration"`."""
        return "registration" if isinstance(self, RegistrationRecipe) else "segmentation"

    def images(self, split):
        """The ImageSet of a split, at the recipe's resolution."""
        images = self.native_images(split)
        return images.downsampled(self.downsample) if self.downsample > 1 else images

    def native_images(self, split):
        """The ImageSet of a split, at the dataset's own resolution."""
        return DATASETS[self.dataset](self.data, split)

    def augmentation(self):
        """The paper's augmentation of 2-D data; small rotations in 3-D."""
        if not self.augment:
            return None
        if self.dataset == "synthetic-brain":
            return augmentation.RandomAffine(rotation=5, scale=(1, 1), shear=0)
        return augmentation.RandomAffine()

    def optimizer(self):
        """Adam as the authors use it (PyTorch's epsilon), with gradient accumulation."""
        accumulation = self.accumulation if self.accumulation > 1 else None
        return keras.optimizers.Adam(self.learning_rate, epsilon=1e-8, gradient_accumulation_steps=accumulation)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationRecipe(Recipe):
    """The supplementary task."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegistrationRecipe(Recipe):
    """Registration with one of `LOSSES`, `similarity + weight * diffusion`."""

    loss: str
    weight: float  # lambda
    extractor: str | None = None  # run folder or .keras file of the segmentation model
    int_steps: int = 0

    def similarity(self):
        """The Keras loss on (fixed, warped)."""
        from deepsim_tf.models import FeatureExtractor

        return LOSSES[self.loss](FeatureExtractor.from_model(self.extractor) if self.extractor else None)


# lambda of the published table (authors' repository). Synthetic platelets: the best on the validation pairs of two weights (MSE,
# NCC) or three (DeepSim; benchmarks/README.md); synthetic cells and brain: as the real data that they resemble.
WEIGHTS = {
    "phc-u373": {"mse": 0.005, "ncc": 0.25, "deepsim": 0.125},
    "synthetic-platelet": {"mse": 0.1, "ncc": 0.5, "deepsim": 0.1},
    "synthetic-cells": {"mse": 0.005, "ncc": 0.25, "deepsim": 0.125},
    "synthetic-brain": {"mse": 0.08, "ncc": 1.0, "deepsim": 2.0},
}

_U373_PAPER = {
    "backbone": "paper",
    "features": (64, 128, 256),
    "batch_size": 5,
    "accumulation": 2,
    "learning_rate": 1e-4,
    "steps_per_epoch": 23,  # 115 frames in batches of 5
}
_U373_CPU = {"downsample": 2, "features": (8, 16, 32, 32), "batch_size": 3, "learning_rate": 1e-3, "steps_per_epoch": 60}
_SYNTHETIC_CPU = {"batch_size": 4, "learning_rate": 1e-3, "steps_per_epoch": 32}

SEGMENTATION = {
    ("phc-u373", "paper"): {**_U373_PAPER, "epochs": 4348},  # 50 k updates
    ("phc-u373", "cpu"): {**_U373_CPU, "epochs": 15},
    ("synthetic-platelet", "cpu"): {**_SYNTHETIC_CPU, "epochs": 12},
    ("synthetic-cells", "cpu"): {**_SYNTHETIC_CPU, "epochs": 12},
    ("synthetic-brain", "cpu"): {**_SYNTHETIC_CPU, "batch_size": 1, "features": (8, 16, 16, 16), "epochs": 10},
}
REGISTRATION = {
    ("phc-u373", "paper"): {**_U373_PAPER, "epochs": 3000},  # 33 k updates
    ("phc-u373", "cpu"): {**_U373_CPU, "epochs": 40},
    ("synthetic-platelet", "cpu"): {**_SYNTHETIC_CPU, "epochs": 22},
    ("synthetic-cells", "cpu"): {**_SYNTHETIC_CPU, "epochs": 20},
    ("synthetic-brain", "cpu"): {**_SYNTHETIC_CPU, "batch_size": 1, "features": (8, 16, 16, 16), "epochs": 10},
}


def segmentation(dataset, preset, **changes):
    """The SegmentationRecipe of a preset, with `changes` to its fields (None changes nothing)."""
    return SegmentationRecipe(**_resolve(SEGMENTATION, dataset, preset, changes))


def registration(dataset, preset, loss, **changes):
    """The RegistrationRecipe of a preset and a loss, with `changes` to its fields (None changes nothing)."""
    checks.known("loss", loss, LOSSES)
    resolved = _resolve(REGISTRATION, dataset, preset, changes)
    if loss == "deepsim" and not resolved.get("extractor"):
        raise ValueError("loss 'deepsim' needs an extractor: the run folder of train-segmentation, or a .keras file (--extractor RUN).")
    if loss != "deepsim" and resolved.get("extractor"):
        raise ValueError(f"loss {loss!r} uses no extractor. Received: extractor={resolved['extractor']!r}. Leave it out.")
    return RegistrationRecipe(**{"loss": loss, "weight": WEIGHTS[dataset][loss], **resolved})


def _resolve(presets, dataset, preset, changes):
    checks.known("dataset", dataset, DATASETS)
    checks.known("preset", preset, [known for name, known in presets if name == dataset])
    changes = {name: value for name, value in changes.items() if value is not None}
    for name in ("data", "extractor"):
        if name in changes:
            changes[name] = os.path.abspath(changes[name])
    if dataset == "phc-u373" and "data" not in changes:
        raise ValueError(f"dataset {dataset!r} needs the folder that holds it (--data DIR).")
    if changes.get("extractor") and not os.path.exists(changes["extractor"]):
        raise ValueError(f"No extractor at {changes['extractor']}. Expected the run folder of train-segmentation, or a .keras file.")
    if "backbone" in changes:
        checks.known("backbone", changes["backbone"], BACKBONES)
    for name, least in (("epochs", 1), ("steps_per_epoch", 1), ("batch_size", 1), ("seed", 0), ("weight", 0), ("int_steps", 0)):
        if changes.get(name, least) < least:
            raise ValueError(f"{name} must be at least {least}. Received: {name}={changes[name]}.")
    if not changes.get("learning_rate", 1) > 0:
        raise ValueError(f"learning_rate must be above 0. Received: learning_rate={changes['learning_rate']}.")
    return {"dataset": dataset, "preset": preset, **presets[dataset, preset], **changes}
