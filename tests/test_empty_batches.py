"""A batch without images: a device's part of a batch that is smaller than the number of devices, or a user's own."""

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf import layers
from deepsim_tf.metrics.overlap import batch_dice

SHAPES = pytest.mark.parametrize("shape", [(8, 6), (6, 4, 8)], ids=["2-D", "3-D"])
GRAPH = pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])


def with_gradient(function, inputs, graph):
    """What `function` gives for a tensor, or a list of them, and its gradient, in eager mode or in a graph.

    There the number of images is not known beforehand.
    """

    def run(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            found = function(list(tensors)) if isinstance(inputs, list) else function(*tensors)
        return found, tape.gradient(found, tensors, unconnected_gradients="zero")

    tensors = [tf.convert_to_tensor(tensor) for tensor in (inputs if isinstance(inputs, list) else [inputs])]
    if graph:
        run = tf.function(run, input_signature=[tf.TensorSpec((None, *t.shape[1:]), t.dtype) for t in tensors])
    return run(*tensors)


def images(shape, channels=1, count=0):
    return np.random.default_rng(0).random((count, *shape, channels), "float32")


LAYERS = {
    "EdgePad": (layers.EdgePad(4), lambda shape, n: images(shape, 3, n)),
    "CropLike": (
        layers.CropLike(shrink=2),
        lambda shape, n: [images(shape, 2, n), images([2 * s - 1 for s in shape], 1, n)],
    ),
    "LinearUpSampling": (layers.LinearUpSampling(), lambda shape, n: images(shape, 3, n)),
    "RescaleTransform": (layers.RescaleTransform(0.5), lambda shape, n: images(shape, len(shape), n)),
    "VecInt": (layers.VecInt(int_steps=2), lambda shape, n: images(shape, len(shape), n)),
    "SpatialTransformer": (
        layers.SpatialTransformer(),
        lambda shape, n: [images(shape, 3, n), images(shape, len(shape), n)],
    ),
}


@SHAPES
@GRAPH
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_gives_none_of_what_it_gives_of_one(name, shape, graph):
    layer, inputs = LAYERS[name]
    (one, _), (none, gradients) = (with_gradient(layer, inputs(shape, n), graph) for n in (1, 0))
    assert none.shape == (0, *one.shape[1:]) and none.dtype == one.dtype
    given = inputs(shape, 0)
    assert [g.shape for g in gradients] == [t.shape for t in (given if isinstance(given, list) else [given])]


SIMILARITIES = {
    "LocalNCC": ds.losses.LocalNCC(3),
    "NMI": ds.losses.NMI(8, fraction=0.5),
    "NMI of each range": ds.losses.NMI(8, None, None, fraction=1),
    "MIND": ds.losses.MIND(1, 1),
    "SoftDice": ds.losses.SoftDice(),
}


FORMS = pytest.mark.parametrize(
    ("shape", "graph", "weighted"), [((6, 4, 8), False, False), ((8, 6), True, True)], ids=["eager", "graph"]
)


def is_none(value):
    """Whether it is Keras's loss of nothing: 0, or empty where it knew beforehand that there are no images."""
    return value == 0 if value.shape == () else value.shape == (0,)


@FORMS
@pytest.mark.parametrize("name", SIMILARITIES)
def test_every_loss_of_no_images_is_none_and_has_no_gradient(name, shape, graph, weighted):
    loss, weights = SIMILARITIES[name], images(shape)[..., 0] if weighted else None
    value, gradients = with_gradient(lambda pair: loss(*pair, sample_weight=weights), [images(shape, 2)] * 2, graph)
    assert is_none(value) and [g.shape for g in gradients] == [(0, *shape, 2)] * 2


@FORMS
@pytest.mark.parametrize("loss", [ds.losses.Diffusion(), ds.losses.BendingEnergy()], ids=["Diffusion", "BendingEnergy"])
def test_so_has_every_regulariser_of_no_flows(loss, shape, graph, weighted):
    weights = np.zeros(0, "float32") if weighted else None
    value, (gradient,) = with_gradient(lambda flow: loss(None, flow, weights), images(shape, len(shape)), graph)
    assert is_none(value) and gradient.shape == (0, *shape, len(shape))


@pytest.mark.parametrize("options", [{}, {"fixed": "atlas"}, {"foreground": 0.5}, {"warp": "features"}], ids=str)
def test_so_has_deepsim(options, extractor, shape=(16, 20)):
    options = {**options, **({"fixed": images(shape, count=1)[0]} if "fixed" in options else {})}
    loss = ds.losses.DeepSim(extractor, **options)
    flow = images(shape, 2)
    value, gradients = with_gradient(lambda flow: loss.of_flow(images(shape), images(shape), flow), flow, False)
    assert is_none(value) and gradients[0].shape == flow.shape


def test_the_dice_of_no_labels_is_empty():
    assert batch_dice(tf.zeros((0, 4, 5), tf.int32), tf.zeros((0, 4, 5), tf.int32), 3).shape == (0,)


MODELS = {
    "registration": lambda shape, backbone: ds.models.registration_model(shape, features=(2, 3), backbone=backbone),
    "diffeomorphic": lambda shape, backbone: ds.models.registration_model(
        shape, features=(2, 3), backbone=backbone, int_steps=2
    ),
    "segmentation": lambda shape, backbone: ds.models.segmentation_model(shape, 3, features=(2, 3), backbone=backbone),
    "autoencoder": lambda shape, backbone: ds.models.autoencoder(shape, features=(2, 3), backbone=backbone),
}


@SHAPES
@pytest.mark.parametrize("backbone", ["voxelmorph", "paper"])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_none_of_what_it_gives_of_one(name, backbone, shape):
    model = MODELS[name](shape, backbone)
    registers = name in ("registration", "diffeomorphic")
    one, none = (
        model({"moving": batch, "fixed": batch} if registers else batch)
        for batch in (images(shape, count=1), images(shape))
    )
    expected = keras.tree.map_structure(lambda tensor: (0, *tensor.shape[1:]), one)
    assert keras.tree.map_structure(lambda tensor: tuple(tensor.shape), none) == expected
