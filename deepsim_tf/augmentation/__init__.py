"""Random transforms of a batch, for images and label maps alike."""

from deepsim_tf.augmentation.intensity import Compose, RandomBiasField, RandomGamma, RandomNoise
from deepsim_tf.augmentation.spatial import RandomAffine

__all__ = ["Compose", "RandomAffine", "RandomBiasField", "RandomGamma", "RandomNoise"]
