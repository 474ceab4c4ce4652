"""Everything that defines a training, by name: data sets, losses, presets, and the recipe that they resolve to."""

from deepsim_tf.recipes.losses import LOSSES
from deepsim_tf.recipes.recipe import (
    AUGMENTATIONS,
    DATASETS,
    OPTIONS,
    PRECISIONS,
    AutoencoderRecipe,
    Recipe,
    RegistrationRecipe,
    SegmentationRecipe,
    autoencoder,
    check_options,
    registration,
    segmentation,
)

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "LOSSES",
    "OPTIONS",
    "PRECISIONS",
    "AutoencoderRecipe",
    "Recipe",
    "RegistrationRecipe",
    "SegmentationRecipe",
    "autoencoder",
    "check_options",
    "registration",
    "segmentation",
]
