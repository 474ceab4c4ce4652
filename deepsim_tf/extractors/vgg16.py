"""VGG16, the network of photographs whose features DeepSim_VGG compares."""

import keras

from deepsim_tf import checks

VGG16_LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3")


def vgg16_network(weights):
    """VGG16 on images in 0..255, (batch, *spatial, 3), with the weights that `FeatureExtractor.vgg16` describes."""
    images = keras.Input((None, None, 3), name="images")
    # Trained on the order blue, green, red, minus the means of ImageNet. Grey images have no order.
    x = keras.layers.Rescaling(1.0, offset=[-103.939, -116.779, -123.68], name="imagenet_means")(images)
    if weights not in ("imagenet", None):
        checks.existing_file(weights, "VGG16 weights")
    try:
        return keras.applications.VGG16(include_top=False, weights=weights, input_tensor=x)
    except Exception as error:  # Keras raises a bare Exception for a failed download, and many kinds for a wrong file
        raise ValueError(
            f"The weights {weights!r} of VGG16 could not be loaded ({' '.join(str(error).split())[:200]})."
            " Without a network, pass the path of vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 (weights=)."
        ) from None
