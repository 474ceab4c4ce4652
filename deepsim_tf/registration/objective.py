"""What registration minimises, in training and on a single pair.

    loss = sum_i a_i similarity_i(fixed, warped) + weight * sum_j b_j regularizer_j(field)
           + supervised_weight * sum_k c_k supervised_k(labels)

Masks weigh the voxels of the similarities. Every solver of this package evaluates its loss here.
"""

import dataclasses
import math

import tensorflow as tf

from deepsim_tf import checks
from deepsim_tf.layers import warp
from deepsim_tf.losses import DeepSim
from deepsim_tf.losses.similarity import compare
from deepsim_tf.losses.table import named


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """The terms of a loss, each a Keras loss with its factor; make one with `objective`.

    Attributes:
        similarity: ((loss, factor), ...), losses on (fixed, warped), smaller is better.
        regularizer: ((loss, factor), ...), losses on (ignored, field): the flow, or the velocity of which it is made.
        supervised: ((loss, factor), ...), guidance by labels: losses on one-hot labels (fixed, warped), each
            (batch, *spatial, classes).
        weight: of all regularisers together, lambda in the paper.
        supervised_weight: of all supervised terms together.
        classes: number of classes of the labels; needed by `supervised`.
    """

    similarity: tuple
    regularizer: tuple = ()
    supervised: tuple = ()
    weight: float = 1.0
    supervised_weight: float = 1.0
    classes: int | None = None

    def terms(self, pair, prediction, *, sample_weight=None):
        """Evaluate every term for a prediction.

        Args:
            pair: a `Pair`.
            prediction: a `Prediction` for it.
            sample_weight: weights of the pairs, (batch,), or of the voxels, (batch, *spatial); they multiply the masks.

        Returns:
            dict of scalar tensors: "loss", the sum of all; "similarity", "regularizer" and, where there is one,
            "supervised", each the sum of its terms with their factors but without its weight; and, where a group has
            several terms, each of these by name and without its factor, as in "similarity_ncc".

        Raises:
            ValueError: a supervised term without labels.
        """
        warped = warp(pair.moving, prediction.flow) if prediction.warped is None else prediction.warped
        given = {"warped": warped, "sample_weight": _weights(pair, prediction.flow, sample_weight)}
        shown = pair.fixed, pair.moving, prediction.flow
        found = {
            "similarity": [tf.convert_to_tensor(compare(loss, *shown, **given)) for loss, _ in self.similarity],
            "regularizer": self._regularizers(prediction),
        }
        if self.supervised:
            found["supervised"] = self._supervised(pair, prediction.flow)
        named, total = {}, 0.0
        for group, values in found.items():
            factors = [factor for _, factor in getattr(self, group)]
            named[group] = sum((f * v for f, v in zip(factors, values, strict=True)), tf.zeros(()))
            total += {"regularizer": self.weight, "supervised": self.supervised_weight}.get(group, 1.0) * named[group]
            if len(values) > 1:
                named |= dict(zip(term_names(group, getattr(self, group)), values, strict=True))
        return {"loss": total, **named}

    @property
    def names(self):
        """The names of the terms that `terms` gives, without "loss"."""
        groups = ("similarity", "regularizer", *(("supervised",) if self.supervised else ()))
        several = [name for group in groups for name in term_names(group, getattr(self, group))]
        return [*groups, *several]

    @property
    def semantic(self):
        """The first DeepSim among the similarities, whose features can be looked at, or None."""
        return next((loss for loss, _ in self.similarity if isinstance(loss, DeepSim)), None)

    @property
    def title(self):
        """The names of the similarities, for people."""
        return " + ".join(type(loss).__name__ for loss, _ in self.similarity)

    def _regularizers(self, prediction):
        field = prediction.flow if prediction.velocity is None else prediction.velocity
        return [tf.convert_to_tensor(loss(tf.zeros_like(field), field)) for loss, _ in self.regularizer]

    def _supervised(self, pair, flow):
        if pair.moving_labels is None or pair.fixed_labels is None:
            raise ValueError("The supervised term needs labels in the training data. Received: images alone.")
        labels = (
            checks.labels_in_graph("A registration model", part, self.classes)
            for part in (pair.fixed_labels, pair.moving_labels)
        )
        # (batch, *spatial) -> (batch, *spatial, classes); warped linearly, so that labels have a gradient
        fixed, moving = (tf.one_hot(part, self.classes) for part in labels)
        warped = warp(moving, flow)
        return [tf.convert_to_tensor(loss(fixed, warped)) for loss, _ in self.supervised]


def objective(similarity, regularizer=None, weight=1.0, *, supervised=None, supervised_weight=1.0, classes=None):
    """The Objective of what a user names.

    Args:
        similarity: a Keras loss, the name of one that needs no extractor, or a list of (loss, factor).
        regularizer: a Keras loss on (ignored, field), a list of (loss, factor), or None.
        weight: of the regulariser, lambda in the paper; it multiplies the factors of a list.
        supervised, supervised_weight: likewise for losses of one-hot labels.
        classes: number of classes of the labels.

    Raises:
        ValueError: what is no loss, an empty list, or a weight that is negative or not finite.
    """
    return Objective(
        similarity=_terms("similarity", similarity),
        regularizer=_terms("regularizer", regularizer),
        supervised=_terms("supervised", supervised),
        weight=_factor("weight", weight, "weight of the regulariser"),
        supervised_weight=_factor("supervised_weight", supervised_weight),
        classes=classes,
    )


def term_names(group, terms):
    """Names of the terms of a group, as in "similarity_ncc"; none where there is one term."""
    if len(terms) < 2:
        return []
    names = [f"{group}_{loss.name}" for loss, _ in terms]
    return [name if names.count(name) == 1 else f"{name}_{k}" for k, name in enumerate(names, start=1)]


def _terms(argument, given):
    """((loss, factor), ...) of a loss, its name, or a list of pairs."""
    if given is None:
        if argument == "similarity":
            raise ValueError(
                "similarity must be a keras.losses.Loss, as in ds.losses, a name, or a list. Received: None."
            )
        return ()
    listed = given if isinstance(given, (list, tuple)) else [(given, 1.0)]
    if not listed:
        raise ValueError(f"{argument} is an empty list. Expected a loss, or a list of (loss, factor).")
    found = []
    for entry in listed:
        if not isinstance(entry, (list, tuple)) or len(entry) != 2:
            raise ValueError(f"{argument} as a list holds (loss, factor), each. Received: {entry!r}.")
        loss, factor = entry
        loss = named(argument, loss)
        if loss is None:
            raise ValueError(f"{argument} as a list holds (loss, factor), each. Received: {entry!r}.")
        found.append((loss, _factor(f"factor of {argument}", factor)))
    return tuple(found)


def _factor(argument, value, called=None):
    """A factor as a float, after a check."""
    number = isinstance(value, (int, float)) or hasattr(value, "__float__")
    if not (number and math.isfinite(value) and value >= 0):
        name = called or argument
        raise ValueError(f"{name} must be a finite number, 0 or more. Received: {argument}={value}.")
    return float(value)


def _weights(pair, flow, sample_weight):
    """The weights of the voxels, (batch, *spatial), of the pairs, (batch,), or None."""
    masks = [] if pair.fixed_mask is None else [tf.cast(pair.fixed_mask, tf.float32)]
    if pair.moving_mask is not None:
        moved = warp(tf.cast(pair.moving_mask, tf.float32)[..., None], flow)[..., 0]
        masks.append(tf.stop_gradient(moved))  # or the loss could fall by moving the mask off the image
    if not masks or sample_weight is None:
        return tf.reduce_prod(tf.stack(masks), axis=0) if masks else sample_weight
    weight = tf.cast(sample_weight, tf.float32)
    if len(weight.shape) == 1:
        raise ValueError("Masks and weights of whole pairs together are not known. Put the weights into the masks.")
    return tf.reduce_prod(tf.stack([*masks, weight]), axis=0)
