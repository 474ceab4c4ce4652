"""What `fit` and `evaluate` report: the loss, its terms and the metrics, by the names that `metrics_names` gives."""

import keras
import tensorflow as tf

from deepsim_tf import _compat


class Reporting:
    """Mixin for a keras.Model: its metrics are those that the last step reported, in the order of `evaluate`."""

    _shown = None  # names of what the last step reported

    def all_metrics(self):
        """The metrics that a step may update, a list: the loss first, as `evaluate` returns them."""
        parts = [self._compile_metrics, self._compile_loss]
        return [self._loss_tracker, *(metric for part in parts if part is not None for metric in part.metrics)]

    @property
    def metrics(self):
        """Those of `all_metrics` that the last step reported, in the same order; before the first one all of them."""
        found = self.all_metrics() if self.compiled else []
        return [Reported(metric) for metric in found if self._shown is None or metric.name in self._shown]

    @property
    def metrics_variables(self):
        """Of all metrics, whatever the last step reported."""
        return [variable for metric in self.all_metrics() for variable in metric.variables] if self.compiled else []

    def reset_metrics(self):
        """See keras.Model."""
        for metric in self.all_metrics():
            metric.reset_state()

    def build_metrics(self):
        """Make the metrics and losses of `compile` that Keras makes at the first batch: the model knows its shapes.

        Under a strategy Keras would draw a batch for it, which may count as an epoch of the data.
        """

    def compile(self, *args, **kwargs):
        """See keras.Model.compile."""
        super().compile(*args, **kwargs)
        self._shown = None
        with self.distribute_strategy.scope():
            self.build_metrics()

    def make_train_function(self, force=False):
        """See keras.Model."""
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = self._remembering(self.train_function)
        return self.train_function

    def make_test_function(self, force=False):
        """See keras.Model."""
        if self.test_function is None or force:
            super().make_test_function(force)
            self.test_function = self._remembering(self.test_function)
        return self.test_function

    def get_metrics_result(self):
        """See keras.Model; numbers are NaN where no step was counted, because all were skipped."""
        return values(self.metrics, self._loss_tracker.count)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Keras's, which draws a batch from the data under a strategy: `compile` has built everything."""

    def _remembering(self, function):
        def step(iterator):
            logs = function(iterator)
            if self._shown != logs.keys():
                self._shown = frozenset(logs)
            return logs

        return step


def tracker(name, better="down"):
    """A keras.metrics.Mean.

    Args:
        name: of what it is the mean.
        better: "down" or "up": what callbacks with mode="auto" (`EarlyStopping`, `ModelCheckpoint`,
            `ReduceLROnPlateau`) take for an improvement.
    """
    mean = keras.metrics.Mean(name=name)
    mean._direction = better  # as Keras's own metrics say it
    return mean


class Reported(_compat.metrics_list()):
    """A metric by its name in the results, and where callbacks with mode="auto" find its direction."""

    def __init__(self, metric):
        super().__init__([metric], name=metric.name)

    @property
    def variables(self):
        """Of the metric."""
        return self.metrics[0].variables

    def result(self):
        """Of the metric."""
        return self.metrics[0].result()


def values(metrics, counted):
    """The results of metrics by name; numbers are NaN where nothing was counted, because all steps were skipped.

    Args:
        metrics: a list of Keras metrics.
        counted: the number of images in them, a scalar.
    """
    found = {}
    for metric in metrics:
        result = metric.result()
        found |= result if isinstance(result, dict) else {metric.name: result}
    return {name: _or_nan(value, tf.convert_to_tensor(counted) > 0) for name, value in found.items()}


def _or_nan(value, counted):
    value = tf.convert_to_tensor(value)
    return tf.where(counted, value, tf.cast(float("nan"), value.dtype)) if value.dtype.is_floating else value
