"""The supplementary task: a segmentation network, whose encoder becomes the similarity."""

import keras
import tensorflow as tf
from keras import layers as kl
from keras import ops

from deepsim_tf import checks
from deepsim_tf.layers import CropLike
from deepsim_tf.metrics.overlap import batch_dice
from deepsim_tf.networks.checked import Checked
from deepsim_tf.networks.precision import dtype_policy
from deepsim_tf.networks.saved import Saved
from deepsim_tf.networks.structure import check_float_image, check_labels, finite_images, is_array, rank, with_shape
from deepsim_tf.networks.trainer import Updates
from deepsim_tf.networks.unet import build_unet, resolve_features


@keras.saving.register_keras_serializable("deepsim_tf")
class SegmentationModel(Updates, Checked, Saved, keras.Model):
    """A U-Net with a softmax over the classes; make one with `segmentation_model`."""

    ARGUMENTS = ("shape", "classes", "channels", "backbone", "features", "batch_norm", "dropout", "policy")
    WHO, MADE_BY = "A segmentation model", "segmentation_model({}, classes)"

    def __init__(
        self,
        shape,
        classes,
        *,
        channels=1,
        backbone="voxelmorph",
        features=None,
        batch_norm=True,
        dropout=True,
        policy=None,
        **kwargs,
    ):
        shape, channels = checks.image_shape(shape), checks.channel_count(channels)
        features = resolve_features(backbone, features, len(shape))
        if not isinstance(classes, int) or classes < 2:
            raise ValueError(
                f"classes must be the number of classes with background, at least 2. Received: classes={classes}."
            )
        policy = policy or keras.config.dtype_policy().name
        with dtype_policy(policy):
            images = keras.Input((*shape, channels), name="images")
            x = build_unet(images, backbone=backbone, features=features, batch_norm=batch_norm, dropout=dropout)
            x = getattr(kl, f"Conv{len(shape)}D")(classes, 1, name="logits")(x)
            x = CropLike(name="unpad")([x, images])
            # Probabilities stay in float32 under mixed precision: their logarithm is the loss.
            super().__init__(images, kl.Softmax(dtype="float32", name="probabilities")(x), **kwargs)
        self.shape, self.classes, self.channels = shape, classes, channels
        self.backbone, self.features = backbone, features
        self.batch_norm, self.dropout, self.policy = batch_norm, dropout, policy

    def build_metrics(self):
        """See `Updates`."""
        target, output = (
            keras.KerasTensor((None, *self.shape), "int32"),
            keras.KerasTensor(self.output_shape, "float32"),
        )
        for part in (self._compile_metrics, self._compile_loss):
            if part is not None:
                part.build(target, output)

    def check_x(self, x, call):
        """See `Checked`."""
        check_float_image(self.WHO, "images", x, call)
        checks.images_of_model(self.WHO, self.MADE_BY, self.shape, self.channels, images=x)

    def check_y(self, y, call):
        """See `Checked`."""
        other = (*self.shape, 1)  # Keras's other form of them
        shape = other if is_array(y) and checks.may_be(y.shape, other) else self.shape
        check_labels(self.WHO, "labels", y, shape, call)

    def prepare_x(self, x):
        """See `Checked`."""
        return finite_images(self.WHO, self.input_shape[1:], images=x)[0]

    def prepare_y(self, y):
        """See `Checked`."""
        y = checks.labels_in_graph(self.WHO, y, self.classes)
        if rank(y) != len(self.shape) + 1:  # the other form, or unknown
            y = tf.reshape(y, tf.shape(y)[: len(self.shape) + 1])
        return with_shape(self.WHO, "labels", y, self.shape)


def segmentation_model(
    shape, classes, *, channels=1, backbone="voxelmorph", features=None, batch_norm=True, dropout=True
):
    """A segmentation network on the U-Net that `registration_model` uses too.

    Args:
        shape: spatial shape of the images, 2-D or 3-D, any size (padded inside to what the network needs).
        classes: number of classes with background.
        channels: of the images, 3 for RGB.
        backbone: `"voxelmorph"` (`vxm.networks.Unet`) or `"paper"` (the authors' strided U-Net).
        features: widths of the encoder's levels; the decoder has them reversed. Default: (16, 32, 32, 32) for
            VoxelMorph's, (64, 128, 256) in 2-D and (32, 64, 128) in 3-D for the paper's.
        batch_norm, dropout: of the paper's backbone.

    Returns:
        A `keras.Model` from images (batch, *shape, channels) to probabilities (batch, *shape, classes). Compile it with
        `loss="sparse_categorical_crossentropy"` (the paper's cross-entropy).

    Example:
        >>> model = ds.models.segmentation_model((64, 64), classes=3)
        >>> model.output_shape
        (None, 64, 64, 3)
    """
    return SegmentationModel(
        shape, classes, channels=channels, backbone=backbone, features=features, batch_norm=batch_norm, dropout=dropout
    )


@keras.saving.register_keras_serializable("deepsim_tf")
def segmentation_dice(labels, probabilities):
    """Mean Dice of each image over the classes that occur in it.

    (batch, *spatial), (batch, *spatial, classes) -> (batch,).
    """
    return batch_dice(labels, ops.argmax(probabilities, axis=-1), probabilities.shape[-1])


@keras.saving.register_keras_serializable("deepsim_tf")
class SegmentationDice(keras.metrics.MeanMetricWrapper):
    """`segmentation_dice` as a Keras metric: the mean over the images of an epoch, larger is better."""

    def __init__(self, name="dice", dtype=None):
        super().__init__(segmentation_dice, name=name, dtype=dtype)
        self._direction = "up"  # for callbacks with mode="auto"

    def get_config(self):
        """The name and the type."""
        return {"name": self.name, "dtype": self.dtype}
