"""The registration network: moving and fixed image in, warped image and flow out, trained without ground truth."""

import warnings

import keras

from deepsim_tf import checks
from deepsim_tf.grids.fit import parse_fit
from deepsim_tf.layers import warp
from deepsim_tf.layers.compiled import without_xla
from deepsim_tf.metrics.overlap import batch_dice
from deepsim_tf.networks.checked import Checked, dtype_policy
from deepsim_tf.networks.trainer import Updates, batch_size, mean_results, whole
from deepsim_tf.networks.unet import resolve_features
from deepsim_tf.registration.graph import registration_network
from deepsim_tf.registration.objective import objective
from deepsim_tf.registration.prediction import Pair, Prediction
from deepsim_tf.registration.reaction import images_of, reaction_warnings
from deepsim_tf.registration.solver import Solver

TERMS = ("similarity", "regularizer", "supervised", "dice")  # of the loss, and in validation


@keras.saving.register_keras_serializable("deepsim_tf")
class RegistrationModel(Updates, Checked, Solver, keras.Model):
    """A registration network, a Solver, with its own loss, `similarity(fixed, warped) + weight * regularizer(flow)`.

    Make one with `registration_model`. Called on {"moving", "fixed"}, images (batch, *shape, channels), it gives
    {"warped", "flow"}.
    """

    def __init__(
        self,
        shape,
        *,
        channels=1,
        backbone="voxelmorph",
        features=None,
        int_steps=0,
        classes=None,
        intensity=None,
        image_fit=None,
        batch_norm=True,
        dropout=True,
        policy=None,
        spacing=None,
        orientation=None,
        **kwargs,
    ):
        # float32 here only keeps this wrapper from casting the images, which the losses see; layers follow the global
        # policy.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.shape, self.channels = checks.image_shape(shape), checks.channel_count(channels)
        self.features = resolve_features(backbone, features, len(self.shape))
        if not isinstance(int_steps, int) or int_steps < 0:
            raise ValueError(
                f"int_steps must be the number of integration steps, 0 for none. Received: int_steps={int_steps}."
            )
        self.backbone, self.int_steps, self.classes, self.intensity = backbone, int_steps, classes, intensity
        if image_fit is not None:
            parse_fit(image_fit)
        self.image_fit, self.batch_norm, self.dropout = image_fit, batch_norm, dropout
        self.spacing, self.orientation = checks.voxel_frame(spacing, orientation, len(self.shape))
        self.policy = policy or keras.config.dtype_policy().name
        with dtype_policy(self.policy):
            self.network = registration_network(
                self.shape, self.channels, backbone, self.features, int_steps, batch_norm, dropout
            )
        self.similarity = self.regularizer = self.supervised = None
        self.weight = self.supervised_weight = None
        self._objective, self._terms, self._reaction_known = None, [], False
        self._trackers = {name: keras.metrics.Mean(name=name) for name in TERMS}
        self.built = True

    def __call__(self, inputs, *args, **kwargs):
        """Check the images, here because Keras buries errors raised in `call` in a dump of its arguments."""
        self._check(inputs["moving"], inputs["fixed"])
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None, with_velocity=False):
        """{"moving", "fixed"} -> {"warped", "flow"}, and the "velocity" that the regulariser sees where asked for."""
        outputs = self.network({"moving": inputs["moving"], "fixed": inputs["fixed"]}, training=training)
        return outputs if with_velocity else {"warped": outputs["warped"], "flow": outputs["flow"]}

    def _check(self, moving, fixed):
        who = "A registration model"
        checks.float_images(who, moving=moving, fixed=fixed)
        checks.equal_shapes(who, moving=moving, fixed=fixed)
        checks.images_of_model(who, "registration_model({})", self.shape, self.channels, moving=moving, fixed=fixed)

    def compile(
        self,
        optimizer="adam",
        similarity="mse",
        *,
        regularizer=None,
        weight=1.0,
        supervised=None,
        supervised_weight=1.0,
        **kwargs,
    ):
        """Set what `fit` minimises.

        Args:
            optimizer: a Keras optimiser.
            similarity: a Keras loss on (fixed, warped), "mse" or "mae", or a list of (loss, factor), whose sum is
                taken.
            regularizer: a Keras loss on (ignored, flow), or on the velocity with `int_steps > 0`; or a list of (loss,
                factor). Default: none.
            weight: of the regulariser, lambda in the paper.
            supervised: a Keras loss on one-hot label maps, (fixed, warped), each (batch, *spatial, classes), which is
                added: with `keras.losses.MeanSquaredError()` and LocalNCC this is the paper's NCC_sup. Labels are
                warped linearly, so that they have a gradient. Needs `classes`, and labels in the training data.
            supervised_weight: of that loss.
            **kwargs: see keras.Model.compile; `jit_compile` is False by default.
        """
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
        if self.policy == "mixed_float16":  # Keras looks at the policy of this wrapper, which is float32
            optimizer = keras.optimizers.get(optimizer)
            if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        super().compile(optimizer=optimizer, **kwargs)
        self._objective, self._reaction_known = goal, False
        self._terms = [loss for group in (goal.similarity, goal.regularizer, goal.supervised) for loss, _ in group]
        self.similarity, self.regularizer, self.supervised = (
            _given(argument, group)
            for argument, group in zip(
                (similarity, regularizer, supervised), (goal.similarity, goal.regularizer, goal.supervised), strict=True
            )
        )
        self.weight, self.supervised_weight = float(weight), float(supervised_weight)
        for name in goal.names:
            if name not in self._trackers:
                self._trackers[name] = keras.metrics.Mean(name=name)

    def objective(self):  # a property would be saved by Keras as another part of the model
        """The Objective that `compile` made; None before."""
        return self._objective

    def fit(self, x=None, *args, **kwargs):
        """See keras.Model.fit. The first after `compile` warns where a similarity does not react to a shift."""
        for sentence in self.reaction_warnings(images_of(x, self.shape, self.channels)):
            warnings.warn(sentence, stacklevel=2)
        return super().fit(x, *args, **kwargs)

    def reaction_warnings(self, images):
        """See `registration.reaction`; an empty list when asked again after the same `compile`."""
        asked, self._reaction_known = self._reaction_known, True
        return [] if asked or self._objective is None else reaction_warnings(self._objective, images)

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
        """In validation the Dice of labels, where there are any."""
        if training or y is None:
            return
        moving, fixed = y["moving_labels"], y["fixed_labels"]
        moving, fixed = (
            checks.labels_in_graph("A registration model", labels, self.classes) for labels in (moving, fixed)
        )
        warped = warp(moving[..., None], y_pred["flow"], interpolation="nearest")[..., 0]
        self._trackers["dice"].update_state(batch_dice(fixed, warped, self.classes))

    def results(self, data, training):
        """The loss and its terms, and Dice in validation where there are labels.

        Of all replicas, so far in this epoch.
        """
        labelled = keras.utils.unpack_x_y_sample_weight(data)[1] is not None
        terms = [*self._objective.names, *(["dice"] if labelled and not training else [])]
        return mean_results({"loss": self._loss_tracker, **{name: self._trackers[name] for name in terms}})

    def predict_step(self, data):
        """Predict, after the same check of the images."""
        return self(self.unpack_data(data)[0], training=False)

    def solve(self, pair):
        """See `Solver.solve`."""
        return Prediction(**self.predict_on_batch(pair.images))

    def integration(self):
        """The network in two: up to the padded velocity at half resolution, and from there to flow and velocity.

        See `Solver.integration`; the second part takes the fixed image too, for its size.
        """
        if not self.int_steps:
            return None
        network = self.network
        velocity = network.get_layer("velocity_half").output
        end = [network.output[name] for name in ("flow", "velocity")]
        return keras.Model(network.input, velocity), keras.Model([velocity, network.input["fixed"]], end)

    def graph(self):
        """See `Solver.graph`."""
        # `.variables` would add the state of dropout
        variables = [weight.value for weight in self.network.weights]
        return lambda images: self.network(images, training=False)["flow"], variables

    def unpack_data(self, data):
        """(x, y, sample_weight), after a check of the images."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if isinstance(sample_weight, dict):  # Keras copies the weights of arrays to each entry of y
            sample_weight = next(iter(sample_weight.values()))
        self._check(x["moving"], x["fixed"])
        moving, fixed = checks.finite_in_graph("A registration model", moving=x["moving"], fixed=x["fixed"])
        return {"moving": moving, "fixed": fixed}, y, sample_weight

    def export(self, *args, **kwargs):
        """As keras.Model.export, for any batch size.

        No part of the saved graph needs XLA. `ds.export` makes what TensorFlow Serving wants.
        """
        inputs = {
            name: keras.InputSpec(dtype="float32", shape=(None, *self.shape, self.channels), name=name)
            for name in ("moving", "fixed")
        }
        with without_xla():
            return super().export(*args, **{"input_signature": [inputs], **kwargs})

    @property
    def metrics(self):
        """Loss and its terms, and Dice: Keras resets them with every epoch."""
        return [self._loss_tracker, *self._trackers.values()] if self.compiled else []

    def get_config(self):
        """The arguments of the constructor, with the precision that the layers were made in."""
        names = ("name", "trainable", "shape", "channels", "backbone", "features", "int_steps", "classes", "intensity")
        names += ("image_fit", "batch_norm", "dropout", "policy", "spacing", "orientation")
        return {name: getattr(self, name) for name in names}

    def get_compile_config(self):
        """What `compile` received, with the extractor of a DeepSim inside."""
        if not self.compiled:
            return None
        parts = {name: getattr(self, name) for name in ("optimizer", "similarity", "regularizer", "supervised")}
        return {
            **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()},
            "weight": self.weight,
            "supervised_weight": self.supervised_weight,
            "jit_compile": self.jit_compile,
            **({"accumulation": self.accumulation} if self.accumulation > 1 else {}),
        }


def _given(argument, group):
    """What `compile` was given: a loss (strings become one), a list of (loss, factor), or None."""
    if isinstance(argument, (list, tuple)):
        return [(loss, factor) for (loss, _), (_, factor) in zip(group, argument, strict=True)]
    return group[0][0] if group else None


def registration_model(
    shape,
    *,
    channels=1,
    backbone="voxelmorph",
    features=None,
    int_steps=0,
    classes=None,
    intensity=None,
    image_fit=None,
    batch_norm=True,
    dropout=True,
    spacing=None,
    orientation=None,
):
    """A registration network on the U-Net that `segmentation_model` uses too.

    Args:
        shape: spatial shape of the images, 2-D or 3-D, without channels, any size (padded inside to what the network
            needs).
        channels: of the images: 3 for RGB, 2 for T1 and T2. All channels move under one flow.
        backbone: `"voxelmorph"` (`vxm.networks.VxmDense`) or `"paper"` (the authors' strided U-Net).
        features: widths of the encoder's levels; the decoder has them reversed. Defaults as in `segmentation_model`.
        int_steps: 0 for a displacement at full resolution; above, the number of integration steps of a stationary
            velocity at half resolution, which gives a diffeomorphic flow (VoxelMorph's usual value is 7).
        classes: number of classes with background, for the Dice in `evaluate`. Default: as many as the labels show.
        intensity: the rule that brought the training images to [0, 1], such as `"fixed:0:256"` (`ImageSet.intensity`);
            kept with the model, and applied by `ds.register` to image files.
        image_fit: how the training images were brought to one size (`ImageSet.fit`), `"pad"` or `"resample"`; kept with
            the model, and done and undone by `ds.register`. None: they had one size; other images are resampled, both
            alike.
        batch_norm, dropout: of the paper's backbone.
        spacing, orientation: size of the training images' voxels in mm, and where their axes point, as in "RAS"
            (`ImageSet.spacing` and `.orientation`); kept with the model, so that files of another voxel size or
            orientation can be brought to its grid (`ds.inference`). None: unknown.

    Returns:
        A `keras.Model`: {"moving", "fixed"}, each (batch, *shape, channels) -> {"warped": (batch, *shape, channels),
            "flow": (batch, *shape, ndim)};
        `flow` is the displacement in voxels. Compile it with `compile(optimizer, similarity=..., regularizer=...,
        weight=...)`.
    """
    return RegistrationModel(
        shape,
        channels=channels,
        backbone=backbone,
        features=features,
        int_steps=int_steps,
        classes=classes,
        intensity=intensity,
        image_fit=image_fit,
        batch_norm=batch_norm,
        dropout=dropout,
        spacing=spacing,
        orientation=orientation,
    )
