"""Similarity measures and regularisers: each a function beside its formula, and a Keras loss."""

from deepsim_tf.losses.deepsim import DeepSim, cosine_map, deepsim
from deepsim_tf.losses.ncc import LocalNCC, local_ncc
from deepsim_tf.losses.smoothness import Diffusion, diffusion

__all__ = ["DeepSim", "Diffusion", "LocalNCC", "cosine_map", "deepsim", "diffusion", "local_ncc"]
