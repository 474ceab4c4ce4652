"""The paper's comparison, in one call: on synthetic data in minutes (`demo`), or on a data set (`reproduce`)."""

from deepsim_tf.studies.demo import demo
from deepsim_tf.studies.reproduce import PAPER, common_smoothness, matched_dice, reproduce
from deepsim_tf.studies.sweep import EXTENSIONS, FACTORS, sweep

__all__ = ["EXTENSIONS", "FACTORS", "PAPER", "common_smoothness", "demo", "matched_dice", "reproduce", "sweep"]
