"""The two backbones, in segmentation and in registration."""

import keras
import numpy as np
import pytest

import deepsim_tf as ds
from deepsim_tf._compat import vxm

BACKBONES = ["voxelmorph", "paper"]
SHAPES = [(13, 18), (7, 9, 6)]  # no size divides by 4


def unet_layers(graph):
    """{name within the U-Net.

    (kind, width, kernel size)} of its convolutions, norms, dropouts, up-samplings and joins.
    """
    found = {}
    for layer in graph.layers:
        name = layer.name.split("unet_")[-1]
        if name.startswith(("enc", "dec")):
            found[name] = (type(layer).__name__, getattr(layer, "filters", None), getattr(layer, "kernel_size", None))
    return found


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("shape", SHAPES)
def test_segmentation_gives_probabilities_of_the_size_of_the_image(shape, backbone, texture):
    model = ds.models.segmentation_model(shape, 3, backbone=backbone, features=(4, 8))
    probabilities = model(texture(shape, count=2))
    assert probabilities.shape == (2, *shape, 3) and model.output_shape == (None, *shape, 3)
    np.testing.assert_allclose(np.sum(probabilities, -1), 1, atol=1e-5)


@pytest.mark.parametrize("int_steps", [0, 7])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("shape", SHAPES)
def test_registration_gives_fields_of_the_size_of_the_image(shape, backbone, int_steps, pair):
    model = ds.models.registration_model(shape, backbone=backbone, features=(4, 8), int_steps=int_steps)
    inputs, _ = pair(shape)
    outputs = model(inputs)
    assert outputs["warped"].shape == (2, *shape, 1) and outputs["flow"].shape == (2, *shape, len(shape))
    assert sorted(outputs) == ["flow", "warped"]
    # The flow starts near zero, and the moving image near where it is.
    assert 0 < np.abs(outputs["flow"]).max() < 1e-2
    np.testing.assert_allclose(outputs["warped"], inputs["moving"], atol=1e-2)


@pytest.mark.parametrize("backbone, convolutions", [("voxelmorph", 6), ("paper", 10)])
def test_segmentation_and_registration_have_the_identical_unet(backbone, convolutions):
    segmentation = unet_layers(ds.models.segmentation_model((16, 16), 2, backbone=backbone, features=(4, 8)))
    registration = unet_layers(ds.models.registration_model((16, 16), backbone=backbone, features=(4, 8)).network)
    assert (
        list(segmentation) == list(registration)
        and sum(kind == "Conv2D" for kind, *_ in segmentation.values()) == convolutions
    )
    for name, layer in segmentation.items():
        if backbone == "paper" and name in (
            "dec_final_conv_0",
            "dec_final_conv_1",
        ):  # as wide as their input, which holds the raw images
            assert (layer[1], registration[name][1]) == (4 + 1, 4 + 2)
        else:
            assert layer == registration[name]


def test_the_papers_network_has_the_authors_number_of_parameters():
    # 3.43 M in the paper's code for 2-D images and (64, 128, 256); per convolution of k x k: k k in out + out
    model = ds.models.registration_model((64, 64), backbone="paper")
    assert model.features == (64, 128, 256)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 3_430_390


def test_the_papers_volume_network_has_the_authors_number_of_parameters():
    model = ds.models.registration_model((16, 16, 16), backbone="paper")
    assert model.features == (32, 64, 128)
    assert round(sum(int(np.prod(w.shape)) for w in model.trainable_weights) / 1e6, 2) == 2.74


def test_the_voxelmorph_backbone_is_voxelmorphs(monkeypatch):
    made = []
    for name in ("Unet", "VxmDense"):
        real = getattr(vxm.networks, name)

        class Spy(real):
            def __init__(self, *args, **kwargs):
                made.append(type(self).__mro__[1].__name__)
                super().__init__(*args, **kwargs)

        monkeypatch.setattr(vxm.networks, name, Spy)
    ds.models.segmentation_model((16, 16), 2, features=(4, 8))
    assert made == ["Unet"]
    model = ds.models.registration_model((16, 16), features=(4, 8))
    assert "VxmDense" in made[1:]
    assert isinstance(model.network.get_layer("warped"), vxm.layers.SpatialTransformer)


def test_the_voxelmorph_backbone_gives_the_numbers_of_voxelmorphs_own_network(pair):
    model = ds.models.registration_model((16, 20), features=(4, 8))
    own = vxm.networks.VxmDense((16, 20), nb_unet_features=[[4, 8], [8, 4, 4, 4]], int_steps=0)
    for weight in own.trainable_weights:
        weight.assign(keras.random.normal(weight.shape, stddev=0.3))
    model.set_weights(own.get_weights())
    inputs, _ = pair((16, 20))
    warped, flow = own([inputs["moving"], inputs["fixed"]])
    outputs = model(inputs)
    assert np.abs(flow).max() > 0.5
    np.testing.assert_allclose(outputs["flow"], flow, atol=1e-4)
    np.testing.assert_allclose(outputs["warped"], warped, atol=1e-4)


def test_the_papers_stages_are_the_authors():
    # [BatchNorm - Conv 4 stride 2 - LeakyReLU 0.2 - Conv 3 - LeakyReLU 0.2 - channel dropout 0.5]: as in the authors'
    # code
    layers = {
        layer.name: layer
        for layer in ds.models.segmentation_model((16, 16), 2, backbone="paper", features=(4, 8)).layers
    }
    norm, conv, act = layers["unet_enc_norm_1"], layers["unet_enc_conv_1_0"], layers["unet_enc_conv_1_0_activation"]
    assert (norm.epsilon, norm.momentum) == (1e-5, 0.9)
    assert (conv.kernel_size, conv.strides) == ((4, 4), (2, 2)) and layers["unet_enc_conv_1_1"].kernel_size == (3, 3)
    assert np.isclose(act.negative_slope, 0.2)
    dropout = layers["unet_enc_1_dropout"]
    assert isinstance(dropout, keras.layers.SpatialDropout2D) and dropout.rate == 0.5


def test_the_papers_weights_start_as_pytorchs():
    # kaiming_uniform(a=sqrt 5): uniform on +-1 / sqrt(fan_in), a standard deviation of 1 / sqrt(3 fan_in)
    model = ds.models.segmentation_model((16, 16), 2, backbone="paper", features=(16, 64))
    kernel = model.get_layer("unet_enc_conv_2_1").kernel.numpy()
    bound = 1 / np.sqrt(3 * 3 * 64)
    assert bound * 0.99 < np.abs(kernel).max() <= bound
    np.testing.assert_allclose(kernel.std(), bound / np.sqrt(3), rtol=0.02)


def test_batch_norm_and_dropout_can_be_left_out():
    model = ds.models.segmentation_model(
        (16, 16), 2, backbone="paper", features=(4, 8), batch_norm=False, dropout=False
    )
    kinds = {type(layer).__name__ for layer in model.layers}
    assert not kinds & {"BatchNormalization", "SpatialDropout2D"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"backbone": "resnet"}, "Unknown backbone 'resnet'. Available: voxelmorph, paper"),
        (
            {"features": (4, 0)},
            r"features must be the encoder's widths, at least one positive integer. Received: features=\(4, 0\)",
        ),
        ({"features": ()}, r"features must be the encoder's widths, .* Received: features=\(\)"),
    ],
)
def test_unknown_backbones_and_widths_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ds.models.segmentation_model((16, 16), 2, **arguments)
    with pytest.raises(ValueError, match=message):
        ds.models.registration_model((16, 16), **arguments)


@pytest.mark.parametrize("shape", [(16,), (16, 16, 16, 16), (0, 16), "16"])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="shape must be the spatial shape of 2-D or 3-D images, without channels"):
        ds.models.registration_model(shape)


def test_one_class_and_negative_steps_are_refused():
    with pytest.raises(
        ValueError, match="classes must be the number of classes with background, at least 2. Received: classes=1"
    ):
        ds.models.segmentation_model((16, 16), 1)
    with pytest.raises(
        ValueError, match="int_steps must be the number of integration steps, 0 for none. Received: int_steps=-1"
    ):
        ds.models.registration_model((16, 16), int_steps=-1)
