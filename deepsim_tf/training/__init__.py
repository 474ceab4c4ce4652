"""From a recipe to a run folder: model, data, `fit`, history, checkpoints, and resume."""

from deepsim_tf.training.train import train_autoencoder, train_registration, train_segmentation

__all__ = ["train_autoencoder", "train_registration", "train_segmentation"]
