"""How a registration network trains: what `compile` takes, the loss and its terms, and what is reported."""

import warnings

import keras
import tensorflow as tf

from deepsim_tf import checks
from deepsim_tf.layers import warp
from deepsim_tf.metrics.overlap import batch_dice
from deepsim_tf.networks.checked import Checked
from deepsim_tf.networks.replicas import batch_size, mean_results, whole
from deepsim_tf.networks.reporting import tracker, values
from deepsim_tf.networks.saved import Saved
from deepsim_tf.networks.structure import check_float_image, check_keys, check_labels, finite_images, rank, with_shape
from deepsim_tf.networks.trainer import Updates
from deepsim_tf.registration.objective import objective
from deepsim_tf.registration.prediction import Pair, Prediction
from deepsim_tf.registration.reaction import images_of, reaction_warnings

WHO = "A registration model"


class Trained(Updates, Checked, Saved):
    """Mixin of RegistrationModel: its loss is an Objective of the images and the flow, not of a target.

    A model has the attributes `shape`, `channels`, `classes` and `policy`, and gives {"warped", "flow", "velocity"}.
    """

    X = '{"moving": moving, "fixed": fixed}'
    Y = '{"moving_labels": moving_labels, "fixed_labels": fixed_labels}'
    optional_targets = True

    similarity = regularizer = supervised = weight = supervised_weight = None  # as `compile` received them
    _objective, _terms, _trackers, _reaction_known = None, (), None, False

    def compile(
        self,
        optimizer="adam",
        similarity=None,
        *,
        loss=None,
        regularizer=None,
        weight=1.0,
        supervised=None,
        supervised_weight=1.0,
        metrics=None,
        weighted_metrics=None,
        loss_weights=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile=False,
        auto_scale_loss=True,
        accumulation=1,
        max_skipped=None,
    ):
        """Set what `fit` minimises.

        Args:
            optimizer: a Keras optimiser.
            similarity: a Keras loss on (fixed, warped), "mse" or "mae", or a list of (loss, factor), whose sum is
                taken. Default: "mse".
            loss: Keras's name for the same argument; give one of the two.
            regularizer: a Keras loss on (ignored, flow), or on the velocity with `int_steps > 0`; or a list of (loss,
                factor). Default: none.
            weight: of the regulariser, lambda in the paper.
            supervised: a Keras loss on one-hot label maps, (fixed, warped), each (batch, *spatial, classes), which is
                added: with `keras.losses.MeanSquaredError()` and LocalNCC this is the paper's NCC_sup. Labels are
                warped linearly, so that they have a gradient. Needs `classes`, and labels in the training data.
            supervised_weight: of that loss.
            metrics, weighted_metrics: lists of Keras metrics of (fixed, warped).
            run_eagerly, steps_per_execution, auto_scale_loss: see keras.Model.compile.
            jit_compile, accumulation, max_skipped: see `Updates.compile`.

        Raises:
            ValueError: what is no loss, a weight out of range, both names of the similarity, metrics of other outputs
                than the warped image, `loss_weights` (the factors of the lists and the weights are these), or labels
                to compare without `classes`.
        """
        if loss is not None and similarity is not None:
            raise ValueError("similarity and loss are two names of one argument of compile. Received: both. Give one.")
        if loss_weights is not None:
            raise ValueError(
                "compile of a registration model takes no loss_weights. Give the factors with the losses, as in"
                " similarity=[(loss, factor), ...], and the regularizer's as weight=..."
            )
        for name, given in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if given is not None and not isinstance(given, (list, tuple)):
                raise ValueError(
                    f"{name} of a registration model is a list of Keras metrics of (fixed, warped). Received:"
                    f" {given!r}."
                )
        similarity = next((given for given in (similarity, loss) if given is not None), "mse")
        goal = objective(
            similarity,
            regularizer,
            weight,
            supervised=supervised,
            supervised_weight=supervised_weight,
            classes=self.classes,
        )
        if goal.supervised and self.classes is None:
            raise ValueError(
                "supervised compares labels, and the model does not know their number: pass classes to"
                " registration_model."
            )
        if self.policy == "mixed_float16" and auto_scale_loss:  # Keras looks at the policy of this wrapper: float32
            optimizer = keras.optimizers.get(optimizer)
            if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        super().compile(
            optimizer=optimizer,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
            accumulation=accumulation,
            max_skipped=max_skipped,
        )
        self._objective, self._reaction_known = goal, False
        self._terms = [loss for group in (goal.similarity, goal.regularizer, goal.supervised) for loss, _ in group]
        self.similarity, self.regularizer, self.supervised = (
            _given(argument, group)
            for argument, group in zip(
                (similarity, regularizer, supervised), (goal.similarity, goal.regularizer, goal.supervised), strict=True
            )
        )
        self.weight, self.supervised_weight = float(weight), float(supervised_weight)
        with self.distribute_strategy.scope():
            self._trackers = {name: tracker(name) for name in goal.names} | {"dice": tracker("dice", better="up")}

    def fit(self, x=None, *args, **kwargs):
        """See keras.Model.fit. The first after `compile` warns where a similarity does not react to a shift."""
        for sentence in self.reaction_warnings(images_of(x, self.shape, self.channels)):
            warnings.warn(sentence, stacklevel=2)
        return super().fit(x, *args, **kwargs)

    def reaction_warnings(self, images):
        """See `registration.reaction`; an empty list when asked again after the same `compile`."""
        asked, self._reaction_known = self._reaction_known, True
        return [] if asked or self._objective is None else reaction_warnings(self._objective, images)

    def check_x(self, x, call):
        """See `Checked`."""
        check_keys(WHO, x, ("moving", "fixed"), "images", call)
        images = {name: x[name] for name in ("moving", "fixed")}
        for name, image in images.items():
            check_float_image(WHO, name, image, call)
        if None not in map(rank, images.values()):
            checks.equal_shapes(WHO, **images)
        checks.images_of_model(WHO, "registration_model({})", self.shape, self.channels, **images)

    def check_y(self, y, call):
        """See `Checked`."""
        if y is not None:
            check_keys(WHO, y, ("moving_labels", "fixed_labels"), "labels, where there are any,", call)
            for name in ("moving_labels", "fixed_labels"):
                check_labels(WHO, name, y[name], self.shape, call)

    def prepare_x(self, x):
        """See `Checked`."""
        images = finite_images(WHO, (*self.shape, self.channels), moving=x["moving"], fixed=x["fixed"])
        return dict(zip(("moving", "fixed"), images, strict=True))

    def prepare_y(self, y):
        """See `Checked`."""
        labels = {name: checks.labels_in_graph(WHO, part, self.classes) for name, part in y.items()}
        return {name: with_shape(WHO, name, part, self.shape) for name, part in labels.items()}

    def objective(self):  # a property would be saved by Keras as another part of the model
        """The Objective that `compile` made; None before."""
        return self._objective

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Similarity, weighted regulariser and weighted supervised term; `sample_weight` goes to the similarity."""
        prediction = Prediction(flow=y_pred["flow"], warped=y_pred["warped"], velocity=y_pred.get("velocity"))
        terms = self._objective.terms(Pair(**x, **(y or {})), prediction, sample_weight=sample_weight)
        loss = terms.pop("loss")
        for name, value in terms.items():
            self._trackers[name].update_state(whole(value), sample_weight=batch_size(x))
        return loss

    def forward(self, x, training):
        """The outputs of `call`, and the velocity."""
        return self(x, training=training, with_velocity=True)

    def measure(self, x, y, y_pred, sample_weight, training):
        """The metrics of `compile`, and in validation the Dice of labels, where there are any."""
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(x["fixed"], y_pred["warped"], sample_weight)
        if not training and y is not None:
            warped = warp(y["moving_labels"][..., None], y_pred["flow"], interpolation="nearest")[..., 0]
            dice = batch_dice(y["fixed_labels"], warped, self.classes)
            # Labels know no NaN: warped by a flow that is not finite they would still have a Dice.
            finite = tf.reduce_all(tf.math.is_finite(y_pred["flow"]), axis=list(range(1, len(self.shape) + 2)))
            self._trackers["dice"].update_state(tf.where(finite, dice, float("nan")))

    def build_metrics(self):
        """See `Updates`."""
        if self._compile_metrics is not None:
            image = keras.KerasTensor((None, *self.shape, self.channels), "float32")
            self._compile_metrics.build(image, image)

    def results(self, labelled, training):
        """The loss and its terms, Dice in validation where there are labels, and the metrics of `compile`.

        Of all replicas, so far in this epoch.
        """
        names = [*self._objective.names, *(["dice"] if labelled and not training else [])]
        found = mean_results({"loss": self._loss_tracker, **{name: self._trackers[name] for name in names}})
        return found | values(super().all_metrics()[1:], self._loss_tracker.count)

    def all_metrics(self):
        """See `Updates`: the loss, its terms, Dice, and those of `compile`."""
        loss, *others = super().all_metrics()
        return [loss, *self._trackers.values(), *others]

    @property
    def metrics(self):
        """See `Updates`; before the first step without the Dice where no classes say that there will be labels."""
        unknown = self._shown is None and self.classes is None
        return [metric for metric in super().metrics if not unknown or metric.name != "dice"]

    def get_compile_config(self):
        """What `compile` received, with the extractor of a DeepSim inside."""
        config = super().get_compile_config()
        if not config:
            return config
        parts = {name: getattr(self, name) for name in ("similarity", "regularizer", "supervised")}
        own = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        own |= {"weight": self.weight, "supervised_weight": self.supervised_weight}
        return {**{name: part for name, part in config.items() if name not in ("loss", "loss_weights")}, **own}

    def loss_parts(self):
        """See `Saved`."""
        return [*super().loss_parts(), *self._terms]


def _given(argument, group):
    """What `compile` was given: a loss (strings become one), a list of (loss, factor), or None."""
    if isinstance(argument, (list, tuple)):
        return [(loss, factor) for (loss, _), (_, factor) in zip(group, argument, strict=True)]
    return group[0][0] if group else None
