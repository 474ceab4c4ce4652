"""Random transforms of a batch, for images and label maps alike."""

from deepsim_tf.augmentation.spatial import RandomAffine

__all__ = ["RandomAffine"]
