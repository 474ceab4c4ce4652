"""The two U-Nets that segmentation and registration share: VoxelMorph's, and the paper's strided one."""

import keras
from keras import layers as kl

from deepsim_tf import checks
from deepsim_tf._compat import vxm
from deepsim_tf.layers import EdgePad, LinearUpSampling

BACKBONES = ("voxelmorph", "paper")
DEFAULT_FEATURES = {  # encoder widths, (2-D, 3-D): VoxelMorph's default, and table "Networks" of the paper
    "voxelmorph": ((16, 32, 32, 32), (16, 32, 32, 32)),
    "paper": ((64, 128, 256), (32, 64, 128)),
}


def resolve_features(backbone, features, ndim):
    """The encoder's widths as a tuple of ints, after the checks that every model needs."""
    checks.known("backbone", backbone, BACKBONES)
    if features is None:
        features = DEFAULT_FEATURES[backbone][ndim - 2]
    features = tuple(features)
    if not features or any(not isinstance(f, int) or f < 1 for f in features):
        raise ValueError(
            f"features must be the encoder's widths, at least one positive integer. Received: features={features}."
        )
    return features


def padding_multiple(features):
    """What every spatial size of the U-Net's input must divide by: 2 for each encoder level."""
    return 2 ** len(features)


def voxelmorph_features(features):
    """`nb_features` of `vxm.networks.Unet`: encoder, reversed decoder, and two convolutions at full resolution.

    The two correspond to the paper's head of 2 x (Conv 3 - LeakyReLU) and to VoxelMorph's own default of (.., 16, 16).
    """
    return [list(features), [*reversed(features), features[0], features[0]]]


def build_unet(images, *, backbone, features, batch_norm=True, dropout=True):
    """Output of the U-Net on padded `images`, a Keras tensor of the padded size.

    Args:
        images: Keras tensor (batch, *spatial, channels); spatial sizes are padded with `EdgePad` to what the network
            needs.
        backbone: `"voxelmorph"` or `"paper"`.
        features: the encoder's widths; the decoder has them reversed.
        batch_norm, dropout: of the paper's backbone (VoxelMorph's has neither).
    """
    padded = EdgePad(padding_multiple(features), name="unet_pad")(images)
    if backbone == "voxelmorph":
        return vxm.networks.Unet(
            input_model=keras.Model(images, padded), nb_features=voxelmorph_features(features)
        ).output
    return paper_unet(padded, features, batch_norm=batch_norm, dropout=dropout)


def build_autoencoder(images, *, backbone, features, batch_norm=True, dropout=True):
    """As `build_unet`, without the connections that pass the bottleneck by."""
    padded = EdgePad(padding_multiple(features), name="unet_pad")(images)
    if backbone == "paper":
        return paper_unet(padded, features, batch_norm=batch_norm, dropout=dropout, skips=False)
    # VoxelMorph's encoder, down to its last pooling, and a decoder of the same widths.
    unet = vxm.networks.Unet(input_model=keras.Model(images, padded), nb_features=voxelmorph_features(features))
    x, ndim, deepest = (
        unet.get_layer(f"unet_enc_pooling_{len(features) - 1}").output,
        len(images.shape) - 2,
        len(features) - 1,
    )

    def convolve(x, width, layer_name):
        x = getattr(kl, f"Conv{ndim}D")(
            width, 3, padding="same", kernel_initializer="he_normal", name=f"unet_{layer_name}"
        )(x)
        return kl.LeakyReLU(0.2, name=f"unet_{layer_name}_activation")(x)

    for level in range(deepest, -1, -1):
        x = LinearUpSampling(name=f"unet_ae_upsample_{level}")(convolve(x, features[level], f"ae_dec_conv_{level}"))
    for conv in range(2):
        x = convolve(x, features[0], f"ae_final_conv_{conv}")
    return x


def paper_unet(images, features, *, batch_norm=True, dropout=True, skips=True, name="unet"):
    """The authors' strided U-Net (Czolbe et al. 2023, figure 1), without the last, task-specific convolution.

    Encoder stage: batch norm - Conv 4 stride 2 - LeakyReLU - Conv 3 - LeakyReLU - channel dropout. Decoder stage:
    2 x (Conv 3 - LeakyReLU) - channel dropout - linear up-sampling - concatenation. Head: 2 x (Conv 3 - LeakyReLU) as
    wide as their input. Layers are named as VoxelMorph names them, so that the feature extractor finds either by one
    rule.
    """
    ndim = len(images.shape) - 2

    def convolve(x, width, layer_name, kernel=3, strides=1):
        # PyTorch's default initialisation, kaiming_uniform(a=sqrt 5), is uniform with variance 1 / (3 fan_in).
        start = keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")
        # For kernel 4 and stride 2, "same" is the authors' padding of 1 (on odd sizes, one voxel more at the end).
        conv = getattr(kl, f"Conv{ndim}D")
        x = conv(width, kernel, strides=strides, padding="same", kernel_initializer=start, name=f"{name}_{layer_name}")(
            x
        )
        return kl.LeakyReLU(0.2, name=f"{name}_{layer_name}_activation")(x)

    def drop(x, layer_name):
        return getattr(kl, f"SpatialDropout{ndim}D")(0.5, name=f"{name}_{layer_name}_dropout")(x) if dropout else x

    x, passed = images, []
    for level, width in enumerate(features, start=1):
        passed.append(x)
        if batch_norm:
            x = kl.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=True, name=f"{name}_enc_norm_{level}")(x)
        x = convolve(x, width, f"enc_conv_{level}_0", kernel=4, strides=2)
        x = convolve(x, width, f"enc_conv_{level}_1")
        x = drop(x, f"enc_{level}")
    for level, width in zip(range(len(features), 0, -1), reversed(features), strict=True):
        x = convolve(x, width, f"dec_conv_{level}_0")
        x = convolve(x, width, f"dec_conv_{level}_1")
        x = drop(x, f"dec_{level}")
        x = LinearUpSampling(name=f"{name}_dec_upsample_{level}")(x)
        if skips:
            x = kl.concatenate([x, passed.pop()], name=f"{name}_dec_concat_{level}")
    for conv in range(2):
        x = convolve(x, x.shape[-1], f"dec_final_conv_{conv}")
    return x
