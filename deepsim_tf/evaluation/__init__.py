"""Measuring registrations: pairs, statistics, noise, comparisons, the report."""

from deepsim_tf.evaluation.compare import evaluate_runs, print_table
from deepsim_tf.evaluation.measure import evaluate, summarise

__all__ = ["evaluate", "evaluate_runs", "print_table", "summarise"]
