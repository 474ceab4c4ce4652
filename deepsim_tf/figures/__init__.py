"""The figures of the paper, each drawn by one function from explicit inputs and written as PNG and PDF."""

from deepsim_tf.figures.boxplot import dice_boxplot
from deepsim_tf.figures.convergence import convergence
from deepsim_tf.figures.examples import example_methods, example_pair

__all__ = ["convergence", "dice_boxplot", "example_methods", "example_pair"]
