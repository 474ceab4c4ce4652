"""Using a registration model on the user's own files: register, refine, warp, compose and invert flows, in batches."""

from deepsim_tf.inference.arrays import register, warp_image, warp_labels

__all__ = ["register", "warp_image", "warp_labels"]
