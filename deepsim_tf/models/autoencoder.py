"""The unsupervised task: an autoencoder, whose encoder becomes a similarity that needs no labels (DeepSim_ae)."""

import keras
from keras import layers as kl

from deepsim_tf import checks
from deepsim_tf.layers import CropLike
from deepsim_tf.networks.checked import Checked
from deepsim_tf.networks.precision import dtype_policy
from deepsim_tf.networks.saved import Saved
from deepsim_tf.networks.structure import check_float_image, finite_images
from deepsim_tf.networks.trainer import Updates
from deepsim_tf.networks.unet import build_autoencoder, resolve_features


@keras.saving.register_keras_serializable("deepsim_tf")
class Autoencoder(Updates, Checked, Saved, keras.Model):
    """A U-Net without skip connections that reproduces its input; make one with `autoencoder`."""

    X, Y = "images", "images"
    ARGUMENTS = ("shape", "channels", "backbone", "features", "batch_norm", "dropout", "policy")
    WHO, MADE_BY = "An autoencoder", "autoencoder({})"

    def __init__(
        self,
        shape,
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
        policy = policy or keras.config.dtype_policy().name
        with dtype_policy(policy):
            images = keras.Input((*shape, channels), name="images")
            x = build_autoencoder(images, backbone=backbone, features=features, batch_norm=batch_norm, dropout=dropout)
            x = getattr(kl, f"Conv{len(shape)}D")(channels, 1, name="reconstruction_conv")(x)
            x = CropLike(name="unpad")([x, images])
            super().__init__(images, kl.Activation("sigmoid", dtype="float32", name="reconstruction")(x), **kwargs)
        self.shape, self.channels, self.backbone, self.features = shape, channels, backbone, features
        self.batch_norm, self.dropout, self.policy = batch_norm, dropout, policy

    def build_metrics(self):
        """See `Updates`."""
        target, output = keras.KerasTensor(self.input_shape, "float32"), keras.KerasTensor(self.output_shape, "float32")
        for part in (self._compile_metrics, self._compile_loss):
            if part is not None:
                part.build(target, output)

    def check_x(self, x, call):
        """See `Checked`."""
        check_float_image(self.WHO, "images", x, call)
        checks.images_of_model(self.WHO, self.MADE_BY, self.shape, self.channels, images=x)

    def check_y(self, y, call):
        """See `Checked`."""
        check_float_image(self.WHO, "the images to reproduce", y, call)
        checks.images_of_model(self.WHO, self.MADE_BY, self.shape, self.channels, **{"the images to reproduce": y})

    def prepare_x(self, x):
        """See `Checked`."""
        return finite_images(self.WHO, self.input_shape[1:], images=x)[0]

    def prepare_y(self, y):
        """See `Checked`."""
        return finite_images(self.WHO, self.input_shape[1:], **{"the images to reproduce": y})[0]


def autoencoder(shape, *, channels=1, backbone="voxelmorph", features=None, batch_norm=True, dropout=True):
    """An autoencoder on the U-Net of `registration_model`, without skip connections, with a sigmoid at the end.

    Args:
        shape: spatial shape of the images, 2-D or 3-D, any size (padded inside to what the network needs).
        channels: of the images, and of their reconstruction.
        backbone, features, batch_norm, dropout: see `segmentation_model`.

    Returns:
        A `keras.Model` from images (batch, *shape, channels) to images of the same shape in (0, 1). Compile it with
        `loss="mse"`, and train it on `ds.data.autoencoder_dataset`. Intensities above 1 (brains under x / 128) cannot
        be reached; they pull towards 1.

    Reference: Czolbe et al. 2023, section "DeepSim_ae".
    """
    return Autoencoder(
        shape, channels=channels, backbone=backbone, features=features, batch_norm=batch_norm, dropout=dropout
    )
