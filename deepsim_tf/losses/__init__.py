"""Similarity measures and regularisers: each a function beside its formula, and a Keras loss."""

from deepsim_tf.losses.deepsim import DeepSim, cosine_map, deepsim, deepsim_levels
from deepsim_tf.losses.dice import SoftDice, soft_dice
from deepsim_tf.losses.mind import MIND, mind
from deepsim_tf.losses.ncc import LocalNCC, local_ncc
from deepsim_tf.losses.nmi import NMI, nmi
from deepsim_tf.losses.reaction import shift_reaction
from deepsim_tf.losses.similarity import Similarity, compare
from deepsim_tf.losses.smoothness import BendingEnergy, Diffusion, bending_energy, diffusion
from deepsim_tf.losses.voxel_weights import weighted_mean

__all__ = [
    "MIND",
    "NMI",
    "BendingEnergy",
    "DeepSim",
    "Diffusion",
    "LocalNCC",
    "Similarity",
    "SoftDice",
    "bending_energy",
    "compare",
    "cosine_map",
    "deepsim",
    "deepsim_levels",
    "diffusion",
    "local_ncc",
    "mind",
    "nmi",
    "shift_reaction",
    "soft_dice",
    "weighted_mean",
]
