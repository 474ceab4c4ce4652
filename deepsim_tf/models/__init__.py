"""Networks that train.

The supplementary tasks, whose frozen encoder is the similarity, and registration; all on one of two U-Nets.
"""

from deepsim_tf.extractors.feature_extractor import FeatureExtractor
from deepsim_tf.models.autoencoder import Autoencoder, autoencoder
from deepsim_tf.models.segmentation import (
    SegmentationDice,
    SegmentationModel,
    segmentation_dice,
    segmentation_model,
)
from deepsim_tf.registration.network import RegistrationModel, registration_model

__all__ = [
    "Autoencoder",
    "FeatureExtractor",
    "RegistrationModel",
    "SegmentationDice",
    "SegmentationModel",
    "autoencoder",
    "registration_model",
    "segmentation_dice",
    "segmentation_model",
]
