"""Gradients of several batches, added up for one update."""

import tensorflow as tf


class Accumulator:
    """Sums of the gradients of several batches.

    Each replica keeps its own (ON_READ), so that replicas talk once an update, not once a batch.

    No part of Keras's tracking: a model's file has the same variables with and without it.
    """

    def __init__(self, weights, strategy):
        with strategy.scope():
            on_read, mode = tf.VariableSynchronization.ON_READ, tf.VariableAggregation
            self.batches = tf.Variable(0, trainable=False, dtype=tf.int64, aggregation=mode.ONLY_FIRST_REPLICA)
            self.sums = [
                tf.Variable(tf.zeros(w.shape, w.dtype), trainable=False, synchronization=on_read, aggregation=mode.SUM)
                for w in weights
            ]
        sums = {w.path: total for w, total in zip(weights, self.sums, strict=True)}
        self.variables = {"batches": self.batches, **sums}  # by path, those of the weights

    def add(self, gradients):
        """Add this replica's gradients of a batch."""
        for total, gradient in zip(self.sums, gradients, strict=True):
            if gradient is not None:
                total.assign_add(gradient)

    def take_mean(self, batches):
        """This replica's mean gradients over so many batches; the sums begin again at zero."""
        means = [total / tf.cast(batches, total.dtype) for total in self.sums]
        with tf.control_dependencies(means):
            for total in self.sums:
                total.assign(tf.zeros_like(total))
        return means
