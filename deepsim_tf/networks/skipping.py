"""Steps whose loss is not finite: no trace of them stays in a model but a count, and `fit` says so."""

import warnings

import keras
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
        # Remembered, so that `put_back` has the same ones.
        self.variables = [*self.model.non_trainable_weights, *self.model.metrics_variables]
        return [tf.identity(tf.convert_to_tensor(variable)) for variable in self.variables]

    def put_back(self, before):
        """Undo what a step changed in this replica."""
        for variable, value in zip(self.variables if before else (), before, strict=True):
            variable.assign(value)


class SkippedSteps(keras.callbacks.Callback):
    """Warns after every epoch with skipped steps, and ends a training with too many of them.

    `fit` adds one, unless the list of callbacks holds one already: a subclass may say more, in `report`.

    Args:
        limit: how many steps may be skipped; None for any number.

    Raises:
        ValueError: from `fit`, at the first step beyond the limit. The weights are those of the last good step.
    """

    def __init__(self, limit=None):
        super().__init__()
        self.limit = limit

    def on_train_begin(self, logs=None):
        """Count from here on."""
        self.begin = self.reported = self._count()

    def on_epoch_begin(self, epoch, logs=None):
        """Remember where the epoch begins."""
        self.epoch, self.steps = epoch, 0

    def on_train_batch_end(self, batch, logs=None):
        """Look whether there are too many: only where there is a limit, as a look waits for the device."""
        self.steps = batch + 1
        if self.limit is not None and self._count() - self.begin > self.limit:
            raise ValueError(
                f"The loss or a gradient is not finite in {self._count() - self.begin} steps, more than may be skipped"
                f" (max_skipped={self.limit} of compile): last in epoch {self.epoch + 1}, step {self.steps}. Look at"
                " the images, or lower the learning rate; the weights are those of the last good step."
            )

    def on_epoch_end(self, epoch, logs=None):
        """Say how many of the epoch's steps were skipped."""
        count = self._count()
        if count > self.reported:
            warnings.warn(
                f"{count - self.reported} of the {self.steps} steps of epoch {epoch + 1} were skipped, because their"
                " loss or a gradient was NaN or infinite; they changed nothing. Look at the images, or lower the"
                " learning rate; compile(max_skipped=N) ends a training with more than N of them.",
                stacklevel=2,
            )
        self.reported = count

    def _count(self):
        return int(self.model.skipped.count.numpy())


def all_finite(loss, gradients):
    """Whether a loss and its gradients are finite on every replica; a gradient can overflow where the loss does not."""
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(part)) for part in (loss, *gradients) if part is not None])
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return finite
    broken = tf.where(finite, 0.0, 1.0)
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, broken) < 0.5
