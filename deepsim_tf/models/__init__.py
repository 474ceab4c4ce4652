"""Networks: the supplementary task, the frozen feature extractor, and registration, on one of two U-Nets."""

from deepsim_tf.models.feature_extractor import FeatureExtractor
from deepsim_tf.models.registration import RegistrationModel, registration_model
from deepsim_tf.models.segmentation import SegmentationModel, segmentation_dice, segmentation_model

__all__ = ["FeatureExtractor", "RegistrationModel", "SegmentationModel", "registration_model", "segmentation_dice", "segmentation_model"]
