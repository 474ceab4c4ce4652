"""The registration network: moving and fixed image in, warped image and flow out, trained without ground truth."""

import keras

from deepsim_tf import checks
from deepsim_tf.grids.fit import parse_fit
from deepsim_tf.layers.compiled import without_xla
from deepsim_tf.networks.precision import dtype_policy
from deepsim_tf.networks.unet import resolve_features
from deepsim_tf.registration.graph import registration_network
from deepsim_tf.registration.prediction import Prediction
from deepsim_tf.registration.solver import Solver, finite_flow
from deepsim_tf.registration.trained import Trained


@keras.saving.register_keras_serializable("deepsim_tf")
class RegistrationModel(Trained, Solver, keras.Model):
    """A registration network, a Solver, with its own loss, `similarity(fixed, warped) + weight * regularizer(flow)`.

    Make one with `registration_model`. Called on {"moving", "fixed"}, images (batch, *shape, channels), it gives
    {"warped", "flow"}.
    """

    ARGUMENTS = ("shape", "channels", "backbone", "features", "int_steps", "classes", "intensity", "image_fit")
    ARGUMENTS += ("batch_norm", "dropout", "policy", "spacing", "orientation")

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
        self.built = True

    def call(self, inputs, training=None, with_velocity=False):
        """{"moving", "fixed"} -> {"warped", "flow"}, and the "velocity" that the regulariser sees where asked for."""
        outputs = self.network({"moving": inputs["moving"], "fixed": inputs["fixed"]}, training=training)
        return outputs if with_velocity else {"warped": outputs["warped"], "flow": outputs["flow"]}

    def solve(self, pair):
        """See `Solver.solve`."""
        found = self.predict_on_batch(pair.images)
        finite_flow("The registration model", found["flow"])
        return Prediction(**found)

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
