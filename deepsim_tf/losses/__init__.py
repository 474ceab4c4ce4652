"""Similarity measures and regularisers: each a function beside its formula, and a Keras loss."""

from deepsim_tf.losses.deepsim import DeepSim, cosine_map, deepsim
from deepsim_tf.losses.dice import SoftDice, soft_dice
from deepsim_tf.losses.mind import MIND, mind
from deepsim_tf.losses.ncc import LocalNCC, local_ncc
from deepsim_tf.losses.nmi import NMI, nmi
from deepsim_tf.losses.smoothness import BendingEnergy, Diffusion, bending_energy, diffusion

__all__ = [
    "MIND",
    "NMI",
    "BendingEnergy",
    "DeepSim",
    "Diffusion",
    "LocalNCC",
    "SoftDice",
    "bending_energy",
    "cosine_map",
    "deepsim",
    "diffusion",
    "local_ncc",
    "mind",
    "nmi",
    "soft_dice",
]
