"""What one update of the weights is.

The gradient of the global batch, whatever the number of devices and of batches that make it.
"""

import warnings

import h5py
import keras
import tensorflow as tf

from deepsim_tf.networks.skipping import Skipping, all_finite


class Updates:
    """Mixin for a keras.Model, named before `Checked`.

    Its `train_step` and `test_step`, under any strategy of tf.distribute.

    Each replica has its share of the global batch. Keras divides a loss by the number of replicas, so that the sum of
    the replicas' gradients is the gradient of the global batch; what is reported is multiplied by it again. A step
    whose loss or gradient is not finite on some replica changes nothing on any but `skipped.count`. A subclass may
    define `unpack_data`, `forward`, `measure` and `results`.
    """

    accumulation, _accumulator, skipped = 1, None, None

    def compile(self, *args, accumulation=1, **kwargs):
        """See keras.Model.compile.

        Args:
            *args, **kwargs: of the model's own compile.
            accumulation: batches in one update: their gradients are averaged. Without batch norm and dropout this
                equals one batch that is so many times larger (Keras's `gradient_accumulation_steps` does not: it counts
                batches where Adam counts updates).

        Raises:
            ValueError: accumulation is no positive integer.
        """
        if not isinstance(accumulation, int) or isinstance(accumulation, bool) or accumulation < 1:
            raise ValueError(
                "accumulation must be the number of batches in one update, at least 1. Received:"
                f" accumulation={accumulation!r}."
            )
        super().compile(*args, **kwargs)
        self.accumulation = accumulation
        self._accumulator = Accumulator(self.trainable_weights, self.distribute_strategy) if accumulation > 1 else None
        self.skipped = Skipping(self)

    def make_train_function(self, force=False):
        """See keras.Model.

        Raises ValueError where the optimiser accumulates too, which Keras can do on one device only.
        """
        steps = getattr(self.optimizer, "inner_optimizer", self.optimizer).gradient_accumulation_steps
        if steps and (self.accumulation > 1 or self.distribute_strategy.num_replicas_in_sync > 1):
            raise ValueError(
                "Keras's gradient_accumulation_steps works on one device only. Received: an optimizer with"
                f" gradient_accumulation_steps={steps}."
                f" Leave it out, and pass accumulation={steps} to compile."
            )
        return super().make_train_function(force)

    def get_compile_config(self):
        """What `compile` received."""
        config = super().get_compile_config()
        return {**config, "accumulation": self.accumulation} if config and self.accumulation > 1 else config

    @property
    def update_state(self):
        """Variables of a half-accumulated update, a list of tf.Variable, which a checkpoint must keep.

        Not among the model's variables.
        """
        return [] if self._accumulator is None else [self._accumulator.batches, *self._accumulator.sums]

    def unpack_data(self, data):
        """Checked (x, y, sample_weight) from what the dataset gave."""
        return keras.utils.unpack_x_y_sample_weight(data)

    def forward(self, x, training):
        """The predictions that `compute_loss` takes."""
        return self(x, training=training)

    def measure(self, x, y, y_pred, sample_weight, training):
        """Update the metrics other than the loss."""
        self.compute_metrics(x, y, y_pred, sample_weight)

    def results(self, data, training):
        """The metrics to show after a batch, a dict."""
        return self.get_metrics_result()

    def train_step(self, data):
        """The gradient of one batch, and an update where it completes one."""
        before = self.skipped.before()
        x, y, sample_weight = self.unpack_data(data)
        with tf.GradientTape() as tape:
            y_pred = self.forward(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        self._loss_tracker.update_state(whole(loss), sample_weight=batch_size(x))
        self.measure(x, y, y_pred, sample_weight, training=True)
        self.apply(tape.gradient(scaled, self.trainable_weights), loss, before)
        return self.results(data, training=True)

    def test_step(self, data):
        """The loss and the metrics of one batch."""

        def step():
            x, y, sample_weight = self.unpack_data(data)
            y_pred = self.forward(x, training=False)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=False)
            self._loss_tracker.update_state(whole(loss), sample_weight=batch_size(x))
            self.measure(x, y, y_pred, sample_weight, training=False)

        if replicas() == 1:
            step()
        else:  # a last batch smaller than the number of replicas leaves some of them without an image
            tf.cond(batch_size(data) > 0, step, lambda: None)
        return self.results(data, training=False)

    def apply(self, gradients, loss=0.0, before=()):
        """Change the weights by this replica's gradients, or keep these until the update is complete, or skip.

        Args:
            gradients: of `trainable_weights`.
            loss: of the batch; where it or a gradient is not finite, the step is skipped.
            before: what `skipped.before()` gave before the forward pass.
        """
        gradients = self._same_overflow(gradients)
        # Under float16 gradients overflow now and then, and LossScaleOptimizer sees to it.
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        finite = all_finite(loss, [] if scaled else gradients)
        # A condition around an update is possible only outside the replicas: `apply_gradients` lets them meet.
        tf.distribute.get_replica_context().merge_call(self._apply_or_skip, args=(gradients, finite, before))

    def _apply_or_skip(self, strategy, gradients, finite, before):
        each = strategy.extended.call_for_each_replica

        def apply():
            if self._accumulator is None:
                each(self._apply_here, args=(gradients,))
            else:
                each(self._accumulator.add, args=(gradients,))
                self._apply_when_full(strategy)

        def skip():
            self.skipped.count.assign_add(1)
            each(self.skipped.put_back, args=(before,))

        tf.cond(strategy.experimental_local_results(finite)[0], apply, skip)

    def _apply_here(self, gradients):
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))

    def _apply_when_full(self, strategy):
        full = tf.equal(self._accumulator.batches.assign_add(1) % self.accumulation, 0)
        tf.cond(full, lambda: strategy.extended.call_for_each_replica(self._apply_mean), lambda: None)

    def _apply_mean(self):
        self._apply_here(self._accumulator.take_mean(self.accumulation))

    def _same_overflow(self, gradients):
        """The gradients.

        Under float16, NaN on every replica where they overflowed on one: LossScaleOptimizer looks at the first alone.
        """
        if replicas() == 1 or not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            return gradients
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients if g is not None])
        broken = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.where(finite, 0.0, 1.0))
        poison = tf.where(broken > 0, float("nan"), 0.0)
        return [None if g is None else g + tf.cast(poison, g.dtype) for g in gradients]


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


def load_weights(model, path):
    """Load the weights and the optimiser of a checkpoint.

    Also of one written when Keras's optimiser accumulated the gradients.
    """
    accumulator, optimizer = getattr(model, "_accumulator", None), model.optimizer
    with h5py.File(path) as file:
        stored = file.get("optimizer/vars", {})
        found = [stored[str(i)][()] for i in range(len(stored))]
    if accumulator is None or len(found) != len(optimizer.variables) + len(accumulator.sums):
        model.load_weights(path)
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
        model.load_weights(path)
    # Keras's order: number of batches, learning rate, sums, and what Adam remembers.
    (batches, rate), sums, rest = found[:2], found[2 : 2 + len(accumulator.sums)], found[2 + len(accumulator.sums) :]
    accumulator.batches.assign(batches)
    for variable, value in zip(
        [*accumulator.sums, *optimizer.variables], [*sums, batches // model.accumulation, rate, *rest], strict=True
    ):
        variable.assign(value)


def replicas():
    """Number of devices that share a batch, on all machines."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def whole(loss):
    """A loss of a replica without Keras's division by the number of replicas.

    The mean of these over replicas is the global batch's.
    """
    return loss * tf.cast(replicas(), loss.dtype)


def batch_size(x):
    """Number of images in this replica's share."""
    return tf.shape(tf.nest.flatten(x)[0])[0]


def mean_results(trackers):
    """The values of keras.metrics.Mean by name: of all replicas, on each of them."""
    if replicas() == 1 or not tf.distribute.get_replica_context():  # outside the replicas, reading adds them up
        return {name: tracker.result() for name, tracker in trackers.items()}
    sums = tf.stack([part.value for tracker in trackers.values() for part in (tracker.total, tracker.count)])
    sums = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums)
    means = tf.math.divide_no_nan(sums[::2], sums[1::2])
    return dict(zip(trackers, tf.unstack(means), strict=True))
