"""The figures of the paper, each drawn by one function from explicit inputs and written as PNG and PDF."""

from deepsim_tf.figures.boxplot import dice_boxplot
from deepsim_tf.figures.classes import dice_per_class
from deepsim_tf.figures.convergence import convergence
from deepsim_tf.figures.examples import example_methods, example_pair
from deepsim_tf.figures.features import feature_maps
from deepsim_tf.figures.noise import noise_robustness
from deepsim_tf.figures.similarity_map import similarity
from deepsim_tf.figures.smoothness import smoothness

__all__ = [
    "convergence",
    "dice_boxplot",
    "dice_per_class",
    "example_methods",
    "example_pair",
    "feature_maps",
    "noise_robustness",
    "similarity",
    "smoothness",
]
