"""The entries of a model (fit, evaluate, predict, ..., a call): what is given is checked before anything indexes it.

Structure, rank, sizes, channels and types are known before a step; whether images are finite and labels lie within the
classes is known on the device, where a check fails with a ValueError too. Keras's own errors at these places speak of
its functions and of tuple indices.
"""

import inspect
import types
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from deepsim_tf import checks, distribute
from deepsim_tf.networks.replicas import of_some
from deepsim_tf.networks.skipping import SkippedSteps
from deepsim_tf.networks.structure import described, is_array

NO_TARGETS = "no_targets"  # what stands for y beside weights, which Keras drops where there is no y


class Checked:
    """Mixin for a keras.Model (no subclass of one: Keras would turn the subclasses of both into functional models).

    A model defines `X` and `Y`, how a call of it is written, whether it trains without `Y`, and the four methods from
    `check_x` to `prepare_y`.
    """

    X, Y, optional_targets = "images", "labels", False

    def check_x(self, x, call):
        """Refuse what is not the images that the model takes, as far as shapes and types tell.

        Args:
            x: arrays, tensors, or what describes them.
            call: a sentence with the right call.
        """
        raise NotImplementedError

    def check_y(self, y, call):
        """Refuse what is not the targets that the model takes, as far as shapes and types tell."""
        raise NotImplementedError

    def prepare_x(self, x):
        """The images again, after the checks on the device."""
        raise NotImplementedError

    def prepare_y(self, y):
        """The targets again, after the checks on the device."""
        raise NotImplementedError

    def __call__(self, inputs, *args, **kwargs):
        """Check the images, here because Keras buries errors raised in `call` in a dump of its arguments."""
        self.check_x(inputs, f"Call model({self.X}).")
        call = super().__call__
        if all(image.shape[0] == 0 for image in keras.tree.flatten(inputs)):
            return of_some(lambda x: call(x, *args, **kwargs), inputs)
        return call(inputs, *args, **kwargs)

    def fit(self, x=None, y=None, *args, **kwargs):
        """See keras.Model.fit.

        Under a strategy of several devices a tf.data.Dataset holds global batches, which are shared among them
        (`ds.distribute.share`).

        Raises:
            ValueError: images or labels of another structure, shape or type than the model takes, NaN or infinity,
                labels beyond the classes, or more skipped steps than `compile(max_skipped=...)` allows.
        """
        given = inspect.signature(super().fit).bind(x, y, *args, **kwargs).arguments
        if isinstance(x, (tf.data.Dataset, tf.distribute.DistributedDataset, types.GeneratorType)):
            given.setdefault("shuffle", False)  # the data shuffle; Keras would only warn that it cannot
        given["x"] = self._check_data("fit", x, y)
        given["y"], given["sample_weight"] = self._weighed(x, y, given.get("sample_weight"))
        given["x"], given["steps_per_epoch"] = self._share(given["x"], given.get("steps_per_epoch"))
        validation = given.get("validation_data")
        if validation is not None:
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(validation)
            checked = self._check_data("evaluate", x, y)
            y, sample_weight = self._weighed(x, y, sample_weight)
            x, given["validation_steps"] = self._share(checked, given.get("validation_steps"))
            given["validation_data"] = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        given["callbacks"] = self._with_skipped_steps(given.get("callbacks"))
        with checks.graph_errors():
            return super().fit(**given)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """See keras.Model.evaluate; checks and devices as in `fit`."""
        if kwargs.get("_use_cached_eval_dataset"):  # from `fit`, which has looked at it
            return super().evaluate(x, y, *args, **kwargs)
        given = inspect.signature(super().evaluate).bind(x, y, *args, **kwargs).arguments
        given["x"], given["steps"] = self._share(self._check_data("evaluate", x, y), given.get("steps"))
        given["y"], given["sample_weight"] = self._weighed(x, y, given.get("sample_weight"))
        with checks.graph_errors():
            return super().evaluate(**given)

    def predict(self, x, *args, **kwargs):
        """See keras.Model.predict; the same checks of the images as in `fit`."""
        x = self._check_data("predict", x)
        with checks.graph_errors():
            return super().predict(x, *args, **kwargs)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        """See keras.Model.train_on_batch; the same checks as in `fit`. A skipped step has the loss NaN."""
        self._check_data("train_on_batch", x, y)
        with checks.graph_errors():
            return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x, y=None, *args, **kwargs):
        """See keras.Model.test_on_batch; the same checks as in `fit`."""
        self._check_data("test_on_batch", x, y)
        with checks.graph_errors():
            return super().test_on_batch(x, y, *args, **kwargs)

    def predict_on_batch(self, x):
        """See keras.Model.predict_on_batch; the same checks as in `fit`."""
        self._check_data("predict_on_batch", x)
        with checks.graph_errors():
            return super().predict_on_batch(x)

    def unpack_data(self, data, targets=True):
        """(x, y, sample_weight) of a step, after all checks; without targets y is left as it is."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y = None if isinstance(y, Mapping) and set(y) == {NO_TARGETS} else y
        if isinstance(sample_weight, Mapping):  # of `_weighed`, all of them the same
            sample_weight = next(iter(sample_weight.values()))
        self._check_batch(x, y, targets, self._element(targets))
        return self.prepare_x(x), self.prepare_y(y) if targets and y is not None else y, sample_weight

    def _check_data(self, entry, x, y=None):
        """The data of an entry, after the checks; a generator comes back as one that checks its elements."""
        targets = not entry.startswith("predict")
        datasets = (tf.data.Dataset, tf.distribute.DistributedDataset)
        if entry in ("fit", "evaluate") and not isinstance(x, datasets) and self._workers() > 1:
            raise ValueError(
                f"{entry} on several machines takes a tf.data.Dataset of global batches, the same on each of them, as"
                f" those of ds.data are. Received: {described(x)}."
            )
        if isinstance(x, tf.data.Dataset):
            self._check_element(x.element_spec, targets)
        elif isinstance(x, types.GeneratorType):
            return self._checked_elements(x, targets)
        elif isinstance(x, keras.utils.PyDataset):
            self._check_element(x[0], targets)
        elif is_array(x) or isinstance(x, (Mapping, list, tuple, str)) or not hasattr(x, "__iter__"):
            call = f"model.{entry}({self.X}, {self.Y})" if targets else f"model.{entry}({self.X})"
            self._check_batch(x, y, targets, f"Call {call}.")
            checks.equal_counts(x, y if targets else None)
        return x

    def _weighed(self, x, y, sample_weight):
        """Targets and weights of arrays as Keras hands them on to a step, which `unpack_data` undoes.

        It drops weights where there are no targets, and takes a dict of weights where there is one of targets.
        """
        if sample_weight is None or not (self.optional_targets and isinstance(x, Mapping)):
            return y, sample_weight
        if not is_array(sample_weight):
            raise ValueError(
                "sample_weight must be an array, of weights of images, (images,), or of voxels, (images, *spatial)."
                f" Received: {described(sample_weight)}."
            )
        checks.equal_counts({**x, "sample_weight": sample_weight})
        y = {NO_TARGETS: np.zeros(sample_weight.shape[0], "int8")} if y is None else y
        return y, dict.fromkeys(y, sample_weight)

    def _check_batch(self, x, y, targets, call):
        self.check_x(x, call)
        if targets:
            self.check_y(y, call)

    def _check_element(self, element, targets):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(element)
        self._check_batch(x, y, targets, self._element(targets))

    def _checked_elements(self, generator, targets):
        for element in generator:
            self._check_element(element, targets)
            yield element

    def _element(self, targets):
        images, both = f"({self.X},)", f"({self.X}, {self.Y})"
        found = (images, both) if self.optional_targets or not targets else (both,)
        return f"Each element of the data must be {' or '.join(found)}."

    def _workers(self):
        return distribute.workers(self.distribute_strategy)

    def _share(self, x, steps):
        """A dataset shared among the devices of the model's strategy, and the batches that one pass over it has."""
        strategy = self.distribute_strategy
        if strategy.num_replicas_in_sync == 1 or not isinstance(x, tf.data.Dataset):
            return x, steps
        count = int(x.cardinality())
        if steps is None and count >= 0:  # Keras cannot count what is shared, and would warn at its end
            x, steps = x.repeat(), count
        return distribute.share(strategy, x), steps

    def _with_skipped_steps(self, callbacks):
        made = isinstance(callbacks, keras.callbacks.CallbackList)
        found = callbacks.callbacks if made else keras.tree.flatten(callbacks or [])
        if any(isinstance(callback, SkippedSteps) for callback in found):
            return callbacks
        watch = SkippedSteps(self.max_skipped)
        if not made:
            return [watch, *found]  # first, so that none keeps what a step beyond the limit left
        watch.set_model(self)
        callbacks.append(watch)
        return callbacks
