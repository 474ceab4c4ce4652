"""The frozen encoder of a segmentation model: images in, a pyramid of named feature maps out."""

import math
import os
import re

import keras

from deepsim_tf import checks
from deepsim_tf.layers import EdgePad

# The last activation of each encoder level, in both backbones and in VoxelMorph's own Unet and VxmDense.
ENCODER_ACTIVATION = re.compile(r"enc_conv_(\d+)_(\d+)_activation$")


@keras.saving.register_keras_serializable("deepsim_tf")
class FeatureExtractor(keras.Model):
    """A frozen encoder as a named pyramid: `extractor(images) -> {"level_1": (batch, *spatial / 2, channels), ...}`.

    Always in inference mode (dropout off, batch norm on its running statistics), never trainable, whatever the model
    does that contains it. Make one with `from_model`. Levels are named by their size: `level_k` is 2^k times smaller
    than the image.
    """

    def __init__(self, encoder, **kwargs):
        # float32 here only keeps this wrapper from casting the images; the encoder has the precision it was trained in.
        super().__init__(**{"dtype": "float32", **kwargs, "trainable": False})
        encoder.trainable = False
        self.encoder = encoder
        self.built = True

    @classmethod
    def from_model(cls, model_or_path, *, levels="all", layers=None):
        """Copy the encoder of a trained model, and freeze the copy; the model stays as it is, and trainable.

        Args:
            model_or_path: a model of `ds.models`, a `vxm.networks.Unet` or `VxmDense`, any other functional Keras model
                with `layers`; or the path of a `.keras` file or of a run folder.
            levels: `"all"`, or a list such as `["level_1", "level_2"]`.
            layers: names of the layers to tap, for models of another make.

        Returns:
            A FeatureExtractor for images of any size with the model's number of channels.

        Raises:
            ValueError: no such file, level or layer; or no encoder to be found.
        """
        model = load_model(model_or_path) if isinstance(model_or_path, (str, os.PathLike)) else model_or_path
        graph = getattr(model, "network", model)
        if not getattr(graph, "inputs", None):
            raise ValueError(
                f"from_model needs a functional Keras model that has been built. Received: {type(model).__name__}."
            )
        taps = _named_layers(graph, layers) if layers else _encoder_layers(graph)
        encoder = _copy_encoder(graph, taps)
        if layers:  # named by their size, which only the built graph tells
            encoder = _name_by_size(encoder, taps)
        return cls(encoder).select(levels)

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
        images = keras.Input((None, None, 1), name="images")
        x = keras.layers.Concatenate(name="rgb")([images] * 3)
        # Trained on 0..255 in the order blue, green, red, minus the means of ImageNet.
        x = keras.layers.Rescaling(255.0, offset=[-103.939, -116.779, -123.68], name="imagenet_scale")(x)
        if weights not in ("imagenet", None):
            checks.existing_file(weights, "VGG16 weights")
        try:
            network = keras.applications.VGG16(include_top=False, weights=weights, input_tensor=x)
        except (
            Exception
        ) as error:  # Keras raises a bare Exception for a failed download, and many kinds for a wrong file
            raise ValueError(
                f"The weights {weights!r} of VGG16 could not be loaded ({' '.join(str(error).split())[:200]})."
                " Without a network, pass the path of vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 (weights=)."
            ) from None
        taps = {
            f"level_{k}": network.get_layer(name).output
            for k, name in enumerate(("block1_conv2", "block2_conv2", "block3_conv3"))
        }
        return cls(keras.Model(images, taps)).select(levels)

    def select(self, levels):
        """The extractor of some of the levels (`"all"` or a list of names).

        The same layers, up to the deepest of them.
        """
        names = level_names(levels, self.levels)
        if names == self.levels:
            return self
        return FeatureExtractor(keras.Model(self.encoder.inputs, {name: self.encoder.output[name] for name in names}))

    @property
    def levels(self):
        """The names of the levels, finest first."""
        return list(self.encoder.output)

    @property
    def channels(self):
        """Number of channels of the images."""
        return self.encoder.inputs[0].shape[-1]

    @property
    def ndim(self):
        """Number of spatial dimensions of the images."""
        return len(self.encoder.inputs[0].shape) - 2

    def __call__(self, inputs, *args, **kwargs):
        """Check the images, here because Keras buries errors raised in `call` in a dump of its arguments."""
        checks.image_rank("A FeatureExtractor", "images", inputs, self.ndim)
        received = f"Received: images.shape={tuple(inputs.shape)}."
        if inputs.shape[-1] != self.channels:
            raise ValueError(f"This FeatureExtractor was trained on images of {self.channels} channel(s). {received}")
        least = 2 ** max(int(level.split("_")[1]) for level in self.levels)
        if any(n is not None and n < least for n in inputs.shape[1:-1]):
            raise ValueError(
                f"Images must have at least {least} voxels a side for {self.levels[-1]}. {received} Use larger ones,"
                " or fewer levels."
            )
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None):
        """Features of images (batch, *spatial, channels), a dict of levels. `training` is ignored."""
        return self.encoder(inputs, training=False)

    @property
    def trainable(self):
        """Always False: a similarity that moves with the registration could be satisfied by forgetting everything."""
        return False

    @trainable.setter
    def trainable(self, value):
        """Ignored, so that `model.trainable = True` on a model around it leaves it frozen."""

    def get_config(self):
        """The encoder's graph; its weights are saved beside it."""
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "trainable": False,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuild from `get_config`."""
        encoder = keras.saving.deserialize_keras_object(config.pop("encoder"), custom_objects=custom_objects)
        return cls(encoder, **config)


def load_model(path):
    """A Keras model from a `.keras` file or a run folder.

    Code inside of a file (a Lambda layer's) is refused and never run.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        path = os.path.join(path, "model.keras")
    checks.existing_file(path, "model")
    try:
        return keras.models.load_model(path, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # Keras, h5py and zipfile meet damaged files with nearly any exception
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        expected = "Expected a .keras file written by this package or by model.save."
        raise ValueError(f"{path} cannot be read as a Keras model ({reason}). {expected}") from None


def level_names(levels, available):
    """Resolve `levels` ("all" or a list of names) against the available ones."""
    if isinstance(levels, str) and levels == "all":
        return list(available)
    names = [levels] if isinstance(levels, str) else list(levels)
    if not names:
        raise ValueError(f"levels is empty. Available: {', '.join(available)}.")
    for name in names:
        checks.known("level", name, available)
    return [name for name in available if name in names]


def _encoder_layers(graph):
    """{level name: layer} of the last activation at each level of either backbone."""
    found = {}
    for layer in graph.layers:
        match = ENCODER_ACTIVATION.search(layer.name)
        if match:
            level, conv = map(int, match.groups())
            found[level] = max(found.get(level, (-1, None)), (conv, layer), key=lambda item: item[0])
    if not found:
        names = ", ".join(layer.name for layer in graph.layers[:12])
        what = f"Model {graph.name!r} is not of deepsim_tf or VoxelMorph"
        raise ValueError(f"{what}: name the layers to tap with layers=[...]. Its layers begin: {names}.")
    return {f"level_{level}": found[level][1] for level in sorted(found)}


def _named_layers(graph, names):
    available = {layer.name: layer for layer in graph.layers}
    for name in names:
        checks.known("layer", name, available)
    return {name: available[name] for name in names}


def _copy_encoder(graph, taps):
    """A functional copy, at any spatial size, of the part of the graph between its images and the taps."""
    start = graph.inputs[0]
    if len(graph.inputs) > 1:  # a registration network: its U-Net sees moving and fixed image as two channels
        start = next(layer.output for layer in graph.layers if isinstance(layer, keras.layers.Concatenate))
    part = keras.Model(start, {name: layer.output for name, layer in taps.items()})
    images = keras.Input((*[None] * (len(start.shape) - 2), start.shape[-1]), name="images")

    def copy(layer):
        # Padding serves the decoder; the encoder alone takes any size, and padded voxels must not count.
        return (
            keras.layers.Identity(name=layer.name)
            if isinstance(layer, EdgePad)
            else type(layer).from_config(layer.get_config())
        )

    encoder = keras.models.clone_model(part, input_tensors=images, clone_function=copy)
    encoder.set_weights(part.get_weights())
    return encoder


def _name_by_size(encoder, taps):
    """Rename the outputs of an encoder of another make: level_k is 2^k times smaller than the image."""
    start = encoder.inputs[0].shape
    probe = 256
    shapes = encoder.compute_output_shape((1, *[probe] * (len(start) - 2), start[-1]))
    outputs = {}
    for name in taps:
        level = f"level_{round(math.log2(probe / shapes[name][1]))}"
        if level in outputs:
            raise ValueError(f"Layers {list(taps)} hold two of the same size, {level}. Name one layer for each size.")
        outputs[level] = encoder.output[name]
    return keras.Model(encoder.inputs, outputs)
