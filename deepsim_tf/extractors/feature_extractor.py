"""The frozen encoder of a segmentation model: images in, a pyramid of named feature maps out."""

import math
import os

import keras
import tensorflow as tf
from keras import ops

from deepsim_tf import checks
from deepsim_tf.extractors.copying import copy_part
from deepsim_tf.extractors.flat_graph import flat_graph
from deepsim_tf.extractors.levels import level_names, levels_by_size
from deepsim_tf.extractors.part import part_before
from deepsim_tf.extractors.taps import find_taps
from deepsim_tf.extractors.vgg16 import VGG16_LAYERS, vgg16_network
from deepsim_tf.networks.loading import load_model
from deepsim_tf.networks.replicas import of_some


@keras.saving.register_keras_serializable("deepsim_tf")
class FeatureExtractor(keras.Model):
    """A frozen encoder as a named pyramid: `extractor(images) -> {"level_1": (batch, *spatial / 2, channels), ...}`.

    Always in inference mode (dropout off, batch norm on its running statistics, augmentation inactive), never
    trainable, whatever the model does that contains it. Make one with `from_model`. Levels are named by their size:
    `level_k` is 2^k times smaller than the image.

    Args:
        encoder: a functional model, images (batch, *spatial, channels) -> {level: map}, finest level first.
        channels, scale: see `from_model`.
    """

    def __init__(self, encoder, *, channels=None, scale=1.0, **kwargs):
        # float32 here only keeps this wrapper from casting the images; the encoder has the precision it was trained in.
        super().__init__(**{"dtype": "float32", **kwargs, "trainable": False})
        if channels not in (None, "repeat"):
            expected = "'repeat', which repeats grey images to the network's channels, or None"
            raise ValueError(f"channels must be {expected}. Received: channels={channels!r}.")
        if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale < math.inf:
            expected = "a number above 0, such as 255 for a network that expects images in 0..255"
            raise ValueError(f"scale must be {expected}. Received: scale={scale!r}.")
        encoder.trainable = False
        self.encoder, self.repeat, self.scale = encoder, channels == "repeat", float(scale)
        self.built = True

    @classmethod
    def from_model(cls, model_or_path, *, levels="all", layers=None, channels=None, scale=1.0):
        """Copy the encoder of a trained model, and freeze the copy; the model stays as it is, and trainable.

        Args:
            model_or_path: a model of `ds.models`, a `vxm.networks.Unet` or `VxmDense`; any other functional or
                Sequential Keras model, with `layers`, or whose output is itself a pyramid, a dict or list of maps of
                falling size such as {"P1": ..., "P2": ...}; a FeatureExtractor; or the path of a `.keras` file or of a
                run folder with one of these. Models with several inputs, as registration networks, are taken from the
                concatenation of their images on.
            levels: `"all"`, or a list such as `["level_1", "level_2"]`.
            layers: names of the layers to tap, one for each size; in nested models by their plain name where it is
                unique, else "outer/inner". A layer that the model calls twice is refused.
            channels: `"repeat"` makes an extractor of grey images, (batch, *spatial, 1), which are repeated to the
                network's channels. None: images have as many channels as the network takes.
            scale: images are multiplied by it: 255 where the network was trained on, or itself scales, 0..255.

        Returns:
            A FeatureExtractor for images of any size.

        Raises:
            ValueError: no such file, level or layer; no functional model, or none with an encoder or pyramid; two maps
                of one size, or of one that is not 1/2^k of the image's; channels first; layers that take one size.

        Example:
            The backbone of a segmentation network that was trained on photographs in 0..255, for grey images in [0, 1]:

            >>> backbone = keras.applications.MobileNetV2(input_shape=(64, 64, 3), include_top=False, weights=None)
            >>> images = keras.Input((64, 64, 3))
            >>> x = backbone(keras.layers.Rescaling(1 / 127.5, offset=-1)(images))
            >>> segmentation = keras.Model(images, keras.layers.Conv2DTranspose(2, 32, strides=32)(x))
            >>> layers = ["block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu"]
            >>> extractor = FeatureExtractor.from_model(segmentation, layers=layers, channels="repeat", scale=255)
            >>> [(level, *maps.shape) for level, maps in extractor(np.zeros((1, 48, 80, 1), "float32")).items()]
            [('level_1', 1, 24, 40, 96), ('level_2', 1, 12, 20, 144), ('level_3', 1, 6, 10, 192)]
        """
        path = model_or_path if isinstance(model_or_path, (str, os.PathLike)) else None
        model = model_or_path if path is None else load_model(path)
        if isinstance(model, FeatureExtractor):
            if layers is not None or channels is not None or scale != 1:
                raise ValueError(
                    "The layers, channels and scale of a FeatureExtractor are fixed. Choose among its levels with"
                    f" levels=[...] ({', '.join(model.levels)}), or make another from the model it came from."
                )
            return model.select(levels)
        network = getattr(model, "network", None)  # of a registration model
        model = network if isinstance(network, keras.Model) else model
        graph = flat_graph(model)
        if graph is None:
            raise ValueError(
                "from_model needs a functional Keras model, or a Sequential one that has been built. Received:"
                f" {type(model).__name__}. Of a subclassed model, pass a functional part, or make a functional pyramid"
                ' of its layers: images = keras.Input((None, None, 1)); keras.Model(images, {"P1": ..., "P2": ...}).'
            )
        part = part_before(graph, find_taps(model, graph, layers))
        encoder = copy_part(part, levels_by_size(part))
        return cls(encoder, channels=channels, scale=scale).select(levels)

    @classmethod
    def vgg16(cls, weights="imagenet", *, levels="all"):
        """The frozen VGG16 of photographs, for DeepSim_VGG.

        Relu1_2, relu2_2 and relu3_3 as level_0, level_1 and level_2.

        Grey images in [0, 1] are repeated to three channels, and scaled as the weights expect. 2-D only.

        Args:
            weights: `"imagenet"` downloads them through Keras (59 MB); a path reads a `.weights.h5` or `.h5` file of
                `keras.applications.VGG16(include_top=False)`; None leaves random weights.
            levels: see `from_model`.

        Raises:
            ValueError: the download failed, no such file, or a file of another network.

        Reference: Simonyan and Zisserman, ICLR 2015; Czolbe et al. 2023, section "DeepSim_VGG".
        """
        network = vgg16_network(weights)
        return cls.from_model(network, levels=levels, layers=VGG16_LAYERS, channels="repeat", scale=255.0)

    def select(self, levels):
        """The extractor of some of the levels (`"all"` or a list of names).

        The same layers, up to the deepest of them.
        """
        names = level_names(levels, self.levels)
        if names == self.levels:
            return self
        encoder = keras.Model(self.encoder.inputs, {name: self.encoder.output[name] for name in names})
        return FeatureExtractor(encoder, channels="repeat" if self.repeat else None, scale=self.scale)

    @property
    def levels(self):
        """The names of the levels, finest first."""
        return list(self.encoder.output)

    @property
    def channels(self):
        """Number of channels of the images."""
        return 1 if self.repeat else self.encoder.inputs[0].shape[-1]

    @property
    def ndim(self):
        """Number of spatial dimensions of the images."""
        return len(self.encoder.inputs[0].shape) - 2

    def __call__(self, inputs, *args, **kwargs):
        """Check the images, here because Keras buries errors raised in `call` in a dump of its arguments."""
        checks.image_rank("A FeatureExtractor", "images", inputs, self.ndim)
        received = f"Received: images.shape={tuple(inputs.shape)}."
        if inputs.shape[-1] != self.channels:
            raise ValueError(f"{self._expected_channels(inputs.shape[-1])} {received}")
        least = 2 ** max(int(level.split("_")[1]) for level in self.levels)
        if any(n is not None and n < least for n in inputs.shape[1:-1]):
            raise ValueError(
                f"Images must have at least {least} voxels a side for {self.levels[-1]}. {received} Use larger ones,"
                " or fewer levels."
            )
        call = super().__call__
        try:
            if inputs.shape[0] == 0:
                return of_some(call, inputs)
            return call(inputs, *args, **kwargs)
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            if "negative" in str(error).lower():  # convolutions without padding take some voxels off
                raise ValueError(f"Images are too small for {self.levels[-1]}. {received} Use larger ones.") from None
            if any(n is not None and n % least for n in inputs.shape[1:-1]):  # a decoder joins maps of equal size
                expected = f"only images whose sides divide by {least}"
                raise ValueError(f"The network of this FeatureExtractor may take {expected}. {received}") from error
            raise

    def call(self, inputs, training=None):
        """Features of images (batch, *spatial, channels), a dict of levels. `training` is ignored."""
        images = inputs if self.scale == 1 else inputs * self.scale
        if self.repeat:
            images = ops.repeat(images, self.encoder.inputs[0].shape[-1], axis=-1)
        return self.encoder(images, training=False)

    def _expected_channels(self, received):
        """The sentence for images of another number of channels."""
        if self.repeat:
            return "This FeatureExtractor takes grey images, of 1 channel, and repeats them (channels='repeat')."
        sentence = f"This FeatureExtractor was trained on images of {self.channels} channel(s)."
        return sentence + (" For grey images, make it with channels='repeat'." if received == 1 else "")

    @property
    def trainable(self):
        """Always False: a similarity that moves with the registration could be satisfied by forgetting everything."""
        return False

    @trainable.setter
    def trainable(self, value):
        """Ignored, so that `model.trainable = True` on a model around it leaves it frozen."""

    def get_config(self):
        """The encoder's graph, and what is done to images before it; its weights are saved beside it."""
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "channels": "repeat" if self.repeat else None,
            "scale": self.scale,
            "trainable": False,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild from `get_config`."""
        encoder = keras.saving.deserialize_keras_object(config.pop("encoder"), custom_objects=custom_objects)
        return cls(encoder, **config)
