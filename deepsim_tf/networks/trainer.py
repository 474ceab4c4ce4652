"""The overridden train step of every network of this package: what one update of the weights is, and its contract.

A model names `Updates` first among its bases. Its `train_step`, `test_step` and `predict_step` then are those below,
under any strategy of tf.distribute, and it may define

    unpack_data(data, targets) -> (x, y, sample_weight)     after checks, which run before the step, also under XLA
    forward(x, training) -> y_pred                   what `compute_loss` takes; default: the call
    compute_loss(x, y, y_pred, sample_weight, training) -> scalar     as in Keras, divided by the number of replicas
    measure(x, y, y_pred, sample_weight, training)   updates the metrics other than the loss
    all_metrics() -> list                            all that steps update, in the order of `evaluate`
    results(labelled, training) -> dict              those to show after a batch, of all replicas
    build_metrics()                                  makes those of `compile`, whose shapes the model knows

Guaranteed is that

1. an update is the gradient of the global batch, whatever the number of devices that share it and of batches
   (`accumulation`) that make it. Each replica has its part of the batch; the replicas' gradients are added up, a part
   that is larger than another counting for more;
2. a step whose loss or gradient is not finite on some replica changes nothing on any but `skipped.count`: no weight,
   no statistic of batch norm, no sum of a metric, nothing of the optimiser. What is reported are the other steps; NaN
   where there are none. `fit` warns after such an epoch, and ends at more than `max_skipped` (networks/skipping.py);
3. images that are not finite, and labels beyond the classes, raise ValueError before anything is changed, with
   `jit_compile=True` too: the checks stay outside of what XLA compiles;
4. what trains is what trained when `compile` was called: a layer that was frozen or thawed since is refused by `fit`;
5. a file has the same variables with and without accumulation, skipping and several devices. An update that is half
   accumulated is in `update_state`, which Keras does not save, and the checkpoints of a run do.
"""

import contextlib

import keras
import tensorflow as tf

from deepsim_tf.networks.accumulation import Accumulator
from deepsim_tf.networks.replicas import batch_size, of_some, replicas, results_of_replica, shared, whole
from deepsim_tf.networks.reporting import Reporting, values
from deepsim_tf.networks.skipping import Skipping, all_finite


class Updates(Reporting):
    """Mixin for a keras.Model, named before the others; see the contract above."""

    accumulation, max_skipped, _accumulator, skipped = 1, None, None, None
    _trained = None  # names of the variables that train

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile=False,
        auto_scale_loss=True,
        *,
        accumulation=1,
        max_skipped=None,
    ):
        """See keras.Model.compile for the arguments up to `auto_scale_loss`.

        Args:
            jit_compile: as in Keras, but False by default: XLA makes convolutions on a CPU several times slower
                (benchmarks/README.md). On one device only.
            accumulation: batches in one update: their gradients are averaged. Without batch norm and dropout this
                equals one batch that is so many times larger (Keras's `gradient_accumulation_steps` does not: it counts
                batches where Adam counts updates).
            max_skipped: how many steps one `fit` may skip because their loss or gradient is not finite; at one more it
                raises ValueError. Default: any number, with a warning after the epoch.

        Raises:
            ValueError: an argument out of range, or one that does not work on several devices.
        """
        several = self.distribute_strategy.num_replicas_in_sync > 1
        whole_number("accumulation", accumulation, 1, "the number of batches in one update")
        if max_skipped is not None:
            whole_number("max_skipped", max_skipped, 0, "the number of steps that one fit may skip")
        for name, given, plain in (
            ("jit_compile", jit_compile, (False, None, "auto")),
            ("steps_per_execution", steps_per_execution, (1,)),
        ):
            if several and given not in plain:
                raise ValueError(f"{name}={given} works on one device only, and this model has several. Leave it out.")
        super().compile(
            optimizer=optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )
        self.accumulation, self.max_skipped, self.auto_scale_loss = accumulation, max_skipped, auto_scale_loss
        with self.distribute_strategy.scope():
            # Keras would build it in the first step, which makes TensorFlow trace the step twice.
            self.optimizer.build(self.trainable_variables)
        self._accumulator = Accumulator(self.trainable_weights, self.distribute_strategy) if accumulation > 1 else None
        self.skipped = Skipping(self)
        self._trained = [variable.path for variable in self.trainable_variables]

    def get_compile_config(self):
        """What `compile` received."""
        config = super().get_compile_config()
        defaults = {"accumulation": 1, "max_skipped": None, "auto_scale_loss": True}
        own = {name: getattr(self, name) for name, default in defaults.items() if self.compiled}
        return {**config, **{name: value for name, value in own.items() if value != defaults[name]}}

    @property
    def update_state(self):
        """Variables of a half-accumulated update, which a checkpoint must keep: dict from path to tf.Variable.

        Not among the model's variables.
        """
        return {} if self._accumulator is None else self._accumulator.variables

    def make_train_function(self, force=False):
        """See keras.Model.

        Raises ValueError where the optimiser accumulates too, which Keras can do on one device only, and where the
        layers that train have changed since `compile`.
        """
        steps = getattr(self.optimizer, "inner_optimizer", self.optimizer).gradient_accumulation_steps
        if steps and (self.accumulation > 1 or self.distribute_strategy.num_replicas_in_sync > 1):
            raise ValueError(
                "Keras's gradient_accumulation_steps works on one device only. Received: an optimizer with"
                f" gradient_accumulation_steps={steps}."
                f" Leave it out, and pass accumulation={steps} to compile."
            )
        now = [variable.path for variable in self.trainable_variables]
        if now != self._trained:
            changed = ", ".join(sorted(set(now) ^ set(self._trained)))
            raise ValueError(
                f"Layers were frozen or thawed since compile: {changed}. Call compile again, so that the optimizer and"
                " the step follow."
            )
        with self._xla_left_to_the_step():
            return super().make_train_function(force)

    def make_test_function(self, force=False):
        """See keras.Model."""
        with self._xla_left_to_the_step():
            return super().make_test_function(force)

    def make_predict_function(self, force=False):
        """See keras.Model."""
        with self._xla_left_to_the_step():
            return super().make_predict_function(force)

    def forward(self, x, training):
        """The predictions that `compute_loss` takes."""
        return self(x, training=training)

    def measure(self, x, y, y_pred, sample_weight, training):
        """Update the metrics other than the loss."""
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(y, y_pred, sample_weight)

    def results(self, labelled, training):
        """The metrics to show after a batch, a dict; `labelled`: whether the data had a `y`."""
        return values(self.all_metrics(), self._loss_tracker.count)

    def train_step(self, data):
        """The gradient of one batch, and an update where it completes one."""
        x, y, sample_weight = self.unpack_data(data)
        x, weight = shared(x)
        before = self.skipped.before()
        y_pred, loss, gradients = self._compiled(self._gradients)(x, y, sample_weight, weight)
        self._loss_tracker.update_state(whole(loss), sample_weight=batch_size(x))
        self.measure(x, y, y_pred, sample_weight, training=True)
        self.apply(gradients, loss, before)
        return results_of_replica(self.results(y is not None, training=True))

    def test_step(self, data):
        """The loss and the metrics of one batch."""
        x, y, sample_weight = self.unpack_data(data)

        def step():
            y_pred, loss = self._compiled(self._loss)(x, y, sample_weight)
            self._loss_tracker.update_state(whole(loss), sample_weight=batch_size(x))
            self.measure(x, y, y_pred, sample_weight, training=False)

        if replicas() == 1:
            step()
        else:  # a last batch smaller than the number of replicas leaves some of them without an image
            tf.cond(batch_size(x) > 0, step, lambda: None)
        return results_of_replica(self.results(y is not None, training=False))

    def predict_step(self, data):
        """The predictions for one batch."""
        x, *_ = self.unpack_data(data, targets=False)
        network = self._compiled(lambda x: self(x, training=False))
        return network(x) if replicas() == 1 else of_some(network, x)

    def _gradients(self, x, y, sample_weight, weight):
        with tf.GradientTape() as tape:
            y_pred = self.forward(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss if weight is None else loss * tf.cast(weight, loss.dtype))
        return y_pred, loss, tape.gradient(scaled, self.trainable_weights)

    def _loss(self, x, y, sample_weight):
        y_pred = self.forward(x, training=False)
        return y_pred, self.compute_loss(x, y, y_pred, sample_weight, training=False)

    def _compiled(self, part):
        """Network, loss and gradient under XLA where `compile` asked for it; not the checks, metrics and the update."""
        return tf.function(part, jit_compile=True, autograph=False) if self.jit_compile else part

    @contextlib.contextmanager
    def _xla_left_to_the_step(self):
        """Keep Keras from compiling a whole step: XLA leaves out the checks that raise errors."""
        asked, self.jit_compile = self.jit_compile, False
        try:
            yield
        finally:
            self.jit_compile = asked

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


def whole_number(name, value, least, what):
    """Refuse what is no whole number from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be {what}, at least {least}. Received: {name}={value!r}.")
