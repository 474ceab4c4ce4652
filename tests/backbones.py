"""Small models of other makes, whose layers the tests tap."""

import keras

from deepsim_tf.models import FeatureExtractor


def convolve(x, width, name, strides=1, **options):
    """A convolution 3 x 3 (x 3) with ReLU."""
    layer = keras.layers.Conv2D if len(x.shape) == 4 else keras.layers.Conv3D
    return layer(width, 3, strides=strides, padding="same", activation="relu", name=name, **options)(x)


def backbone(shape=(None, None, 1), name="backbone", widths=(4, 6)):
    """A functional encoder with conv_1, conv_2, ... of strides 2, 4, ...; its output is the deepest map."""
    images = x = keras.Input(shape)
    for level, width in enumerate(widths, start=1):
        x = convolve(x, width, f"conv_{level}", strides=2)
    return keras.Model(images, x, name=name)


def pyramid(shape=(None, None, 1), name="backbone"):
    """The same encoder as keras-hub gives it: {"P1": maps, "P2": maps}."""
    model = backbone(shape, name)
    return keras.Model(model.input, {f"P{k}": model.get_layer(f"conv_{k}").output for k in (1, 2)}, name=name)


def tap(model, layer, images):
    """What a layer of a functional model gives for images, through a model of its own."""
    return keras.Model(model.input, model.get_layer(layer).output)(images, training=False)


def scaling_extractor(scale=1.0, shape=(None, None, 1)):
    """An extractor whose network divides by 255 first, as many do that were trained on 0..255.

    Without scale=255 it is blind on images in [0, 1], for its biases of 0.1 outweigh them.
    """
    images = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 255)(images)
    x = convolve(x, 8, "conv_1", strides=2, bias_initializer=keras.initializers.Constant(0.1))
    model = keras.Model(images, {"P1": x})
    return FeatureExtractor.from_model(model, scale=scale)
