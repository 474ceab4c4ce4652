"""Steps whose loss is not finite: no trace of them stays in a model but a count."""

import tensorflow as tf


class Skipping:
    """What a model needs to leave a training step out, on all devices or on none.

    No part of Keras's tracking: a model's file has the same variables with and without it.
    """

    def __init__(self, model):
        self.model, self.variables = model, []
        with model.distribute_strategy.scope():
            once = tf.VariableAggregation.ONLY_FIRST_REPLICA
            self.count = tf.Variable(0, trainable=False, dtype=tf.int64, aggregation=once)  # steps that were left out

    def before(self):
        """What this replica's forward pass and its metrics are about to change, as tensors.

        Statistics of batch norm, sums.
        """
        # Remembered, as Keras makes some metrics only in the first step (`train_on_batch`).
        self.variables = [*self.model.non_trainable_weights, *self.model.metrics_variables]
        return [tf.identity(tf.convert_to_tensor(variable)) for variable in self.variables]

    def put_back(self, before):
        """Undo what a step changed in this replica."""
        for variable, value in zip(self.variables if before else (), before, strict=True):
            variable.assign(value)


def all_finite(loss, gradients):
    """Whether a loss and its gradients are finite on every replica; a gradient can overflow where the loss does not."""
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(part)) for part in (loss, *gradients) if part is not None])
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return finite
    broken = tf.where(finite, 0.0, 1.0)
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, broken) < 0.5
