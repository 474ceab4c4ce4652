"""Two tiny models with flows worth looking at, and their exports: made once, by whoever asks first."""

import deepsim_tf as ds  # isort: skip
import atexit
import functools
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage


def raw(shape, count=1, seed=0):
    """Smooth images as in a file of 12 bits, (count, *shape, 1) float32."""
    images = ndimage.gaussian_filter(np.random.default_rng(seed).random((count, *shape)), (0, *[2] * len(shape)))
    return np.round((images - images.min()) / np.ptp(images) * 4095).astype("float32")[..., None]


@functools.cache
def cells():
    """2-D, diffeomorphic, trained with DeepSim, on a grid of blocks of two voxels; quantile rule."""
    keras.utils.set_random_seed(2)
    extractor = ds.models.FeatureExtractor.from_model(
        ds.models.segmentation_model((16, 20), 3, backbone="paper", features=(4, 8))
    )
    model = ds.models.registration_model(
        (16, 20), features=(4, 8), int_steps=7, intensity="quantile", image_fit="pad:2"
    )
    model.compile("adam", ds.losses.DeepSim(extractor), regularizer=ds.losses.Diffusion())
    return stirred(model)


@functools.cache
def brains():
    """3-D, displacement, trained with NCC (whose inner part runs under XLA), images of one odd size."""
    keras.utils.set_random_seed(3)
    model = ds.models.registration_model((10, 9, 7), features=(4, 8), intensity="minmax")
    model.compile("adam", ds.losses.LocalNCC(), regularizer=ds.losses.Diffusion())
    return stirred(model)


def stirred(model):
    """The model with random weights added: a new network's flow is almost zero, and would hide errors."""
    rng = np.random.default_rng(0)
    model.network.set_weights(
        [w + 0.15 * rng.standard_normal(w.shape).astype("float32") for w in model.network.get_weights()]
    )
    return model


@functools.cache
def served(model):
    """The version folder of `cells` or `brains`."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return ds.export(model(), pathlib.Path(folder.name) / model.__name__)


@functools.cache
def loaded(model):
    """`cells` or `brains`, exported and loaded again: its `.signatures` are functions of tensors by name."""
    return tf.saved_model.load(str(served(model)))


def ask(model, signature, **inputs):
    """Arrays by name to a signature of `cells` or `brains`, and its outputs as arrays by name."""
    outputs = loaded(model).signatures[signature](**{name: tf.constant(array) for name, array in inputs.items()})
    return {name: tensor.numpy() for name, tensor in outputs.items()}
