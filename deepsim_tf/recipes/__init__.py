"""Everything that defines a training, by name: the tables of data sets, losses and extractors, and their recipes."""

from deepsim_tf.losses.table import LOSSES, REGULARIZERS
from deepsim_tf.recipes.datasets import DATASETS, DatasetEntry
from deepsim_tf.recipes.extractors import EXTRACTORS
from deepsim_tf.recipes.presets import PRESETS, Preset
from deepsim_tf.recipes.recipe import (
    AUGMENTATIONS,
    PRECISIONS,
    TASKS,
    AutoencoderRecipe,
    Recipe,
    RegistrationRecipe,
    SegmentationRecipe,
)
from deepsim_tf.recipes.resolve import (
    autoencoder,
    check_dataset_options,
    check_names,
    registration,
    resolve_options,
    segmentation,
)

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "EXTRACTORS",
    "LOSSES",
    "PRECISIONS",
    "PRESETS",
    "REGULARIZERS",
    "TASKS",
    "AutoencoderRecipe",
    "DatasetEntry",
    "Preset",
    "Recipe",
    "RegistrationRecipe",
    "SegmentationRecipe",
    "autoencoder",
    "check_dataset_options",
    "check_names",
    "registration",
    "resolve_options",
    "segmentation",
]
