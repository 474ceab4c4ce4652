"""Frozen encoders as named pyramids of features: what DeepSim compares."""

from deepsim_tf.extractors.feature_extractor import FeatureExtractor

__all__ = ["FeatureExtractor"]
