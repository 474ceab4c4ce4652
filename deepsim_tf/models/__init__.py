"""Networks: the supplementary task, the frozen feature extractor, and registration, on one of two U-Nets."""

from deepsim_tf.models.autoencoder import Autoencoder, autoencoder
from deepsim_tf.models.feature_extractor import FeatureExtractor
from deepsim_tf.models.registration import RegistrationModel, registration_model
from deepsim_tf.models.segmentation import SegmentationModel, segmentation_dice, segmentation_model

__all__ = [
    "Autoencoder", "FeatureExtractor", "RegistrationModel", "SegmentationModel", "autoencoder", "registration_model", "segmentation_dice",
    "segmentation_model",
]  # fmt: skip
