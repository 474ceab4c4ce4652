"""What is given to a model is checked before anything indexes it, in every entry and in every form of data."""

import deepsim_tf as ds  # isort: skip
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

SHAPE = (8, 8)
IMAGES = np.random.default_rng(0).random((2, *SHAPE, 1), "float32")
LABELS = (IMAGES[..., 0] > 0.5).astype("int32")
PAIR = {"moving": IMAGES, "fixed": IMAGES}
PAIR_LABELS = {"moving_labels": LABELS, "fixed_labels": LABELS}
RIGHT = '{"moving": moving, "fixed": fixed}'


@pytest.fixture(scope="module")
def registration_network():
    model = ds.models.registration_model(SHAPE, features=(2,), classes=2)
    model.compile("adam", "mse", run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def segmentation_network():
    model = ds.models.segmentation_model(SHAPE, 2, features=(2,))
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def autoencoder_network():
    model = ds.models.autoencoder(SHAPE, features=(2,))
    model.compile("adam", "mse", run_eagerly=True)
    return model


class Batches(keras.utils.PyDataset):
    """The same element twice."""

    def __init__(self, element):
        super().__init__()
        self.element = element

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.element


def generated(element):
    yield element
    yield element


ENTRIES = ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch")


def call(model, entry, x, y=None):
    arguments = [x] if y is None else [x, y]
    return getattr(model, entry)(*arguments, **({} if "batch" in entry else {"verbose": 0}))


@pytest.mark.parametrize("entry", [*ENTRIES, "call"])
def test_voxelmorphs_list_is_refused_with_the_right_call(registration_network, entry):
    right = f"model({RIGHT})" if entry == "call" else f"model.{entry}({RIGHT}"
    with pytest.raises(
        ValueError, match=r"Received: a list of 2 \(float32 \(2, 8, 8, 1\); .* Call " + re.escape(right)
    ):
        registration_network([IMAGES, IMAGES]) if entry == "call" else call(
            registration_network, entry, [IMAGES, IMAGES]
        )


@pytest.mark.parametrize(
    "form", [generated, Batches, tf.data.Dataset.from_tensors], ids=["generator", "PyDataset", "tf"]
)
@pytest.mark.parametrize("entry", ["fit", "evaluate", "predict"])
def test_so_is_that_of_its_generators(registration_network, entry, form):
    element = ((IMAGES, IMAGES), (IMAGES, np.zeros((2, *SHAPE, 2), "float32")))  # as its generators yield, in tuples
    with pytest.raises(ValueError, match=re.escape(f"takes images as {RIGHT}. Received: a tuple of 2")):
        call(registration_network, entry, form(element))


@pytest.mark.parametrize("form", [Batches, tf.data.Dataset.from_tensors], ids=["PyDataset", "tf"])
def test_every_form_of_data_trains(registration_network, form):
    history = registration_network.fit(form((PAIR, PAIR_LABELS)), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert registration_network.predict(form((PAIR, PAIR_LABELS)), verbose=0)["flow"].shape[1:] == (*SHAPE, 2)


@pytest.mark.parametrize(
    ("x", "received"),
    [
        ({"moving": IMAGES}, "a dict of moving: float32"),
        ({**PAIR, "mask": IMAGES}, r"a dict of moving: .*; mask: float32 \(2, 8, 8, 1\)"),
        ({"source": IMAGES, "target": IMAGES}, "a dict of source: .*; target: "),
        (IMAGES, r"float32 \(2, 8, 8, 1\)"),
        (None, "nothing"),
        ("images", "str"),
    ],
    ids=["missing", "extra", "names", "array", "nothing", "text"],
)
def test_other_structures_than_the_pair_are_refused(registration_network, x, received):
    for entry in ENTRIES:
        with pytest.raises(ValueError, match=rf"A registration model takes images as .*Received: {received}"):
            call(registration_network, entry, x)


def test_nested_lists_are_no_images(registration_network):
    with pytest.raises(ValueError, match=r"takes moving as an array \(batch, ...\). Received: a list of 2"):
        registration_network.predict({name: image.tolist() for name, image in PAIR.items()}, verbose=0)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (IMAGES[..., 0], r"Received: moving.shape=\(2, 8, 8\). Add the axis of channels, as in images\[..., None\]"),
        (IMAGES[0], r"Received: moving.shape=\(8, 8, 1\)"),
        (np.repeat(IMAGES, 3, -1), r"need registration_model\(\(8, 8\), channels=3\)"),
        (IMAGES[:, None], r"Received: moving.shape=\(2, 1, 8, 8, 1\). Images of 3 dimensions"),
        ((IMAGES * 255).astype("uint8"), "Received: moving of type uint8. Divide by the largest value"),
    ],
    ids=["channels", "batch", "rgb", "3-D", "uint8"],
)
def test_rank_channels_and_type_are_checked_in_every_entry(registration_network, image, message):
    for entry in ENTRIES:
        with pytest.raises(ValueError, match=message):
            call(registration_network, entry, {"moving": image, "fixed": image})
    with pytest.raises(ValueError, match=message):
        registration_network({"moving": image, "fixed": image})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS, r"takes labels, where there are any, as .*moving_labels.*Received: int32 \(2, 8, 8\)"),
        ([IMAGES, IMAGES], "takes labels, where there are any, as .*Received: a list of 2"),
        ({"moving_labels": LABELS}, "Received: a dict of moving_labels: int32"),
        ({**PAIR_LABELS, "more": LABELS}, "Received: a dict of .*more: int32"),
        ({**PAIR_LABELS, "moving_labels": LABELS[:, :4]}, r"moving_labels of shape \(batch, 8, 8\)..*\(2, 4, 8\)"),
        (
            {**PAIR_LABELS, "fixed_labels": LABELS * 1.0},
            "expects integer labels. Received: fixed_labels of type float64",
        ),
    ],
    ids=["array", "list", "missing", "extra", "shape", "float"],
)
def test_labels_of_another_structure_are_refused(registration_network, labels, message):
    for entry in ("fit", "evaluate", "train_on_batch", "test_on_batch"):
        with pytest.raises(ValueError, match=message):
            call(registration_network, entry, PAIR, labels)
    with pytest.raises(ValueError, match=message):
        registration_network.fit(PAIR, validation_data=(PAIR, labels), verbose=0)


def test_unequal_numbers_and_no_images_at_all_are_refused(registration_network):
    with pytest.raises(ValueError, match="equally many moving and fixed and .*Received: moving: 2, .*fixed_labels: 1"):
        registration_network.fit(PAIR, {**PAIR_LABELS, "fixed_labels": LABELS[:1]}, verbose=0)
    with pytest.raises(ValueError, match="Expected at least one image. Received: moving: 0, fixed: 0"):
        registration_network.predict({name: image[:0] for name, image in PAIR.items()}, verbose=0)


@pytest.mark.parametrize("height", [8, 4])
def test_sizes_that_only_the_device_knows_are_checked_there(height):
    model = ds.models.registration_model(SHAPE, features=(2,))
    model.compile("adam", "mse")

    def unknown(image):  # as from a reader in Python: neither sizes nor rank
        return tf.numpy_function(lambda array: array[:, :height], [image], tf.float32)

    data = tf.data.Dataset.from_tensors(PAIR).map(lambda x: ({name: unknown(image) for name, image in x.items()},))
    if height == 8:
        assert np.isfinite(model.fit(data, verbose=0).history["loss"]).all()
    else:
        with pytest.raises(ValueError, match=r"shape \(batch, 8, 8, 1\). Received moving of sizes 2 4 8 1\.$"):
            model.fit(data, verbose=0)


def test_float64_images_of_a_dataset_train_as_float32(registration_network):
    doubles = {name: image.astype("float64") for name, image in PAIR.items()}
    found = registration_network.evaluate(tf.data.Dataset.from_tensors((doubles,)), verbose=0)
    np.testing.assert_allclose(found, registration_network.evaluate(PAIR, verbose=0), rtol=1e-6)


def test_a_segmentation_model_names_its_images_and_labels(segmentation_network):
    model = segmentation_network
    for x, y, message in [
        ({"image": IMAGES}, LABELS, r"takes images as an array .*Received: a dict of image: .* Call model.fit\(images"),
        ([IMAGES, IMAGES], LABELS, "takes images as an array .*Received: a list of 2"),
        (
            IMAGES,
            None,
            r"takes labels as integers \(batch, 8, 8\). Received: nothing. Call model.fit\(images, labels\)",
        ),
        (
            IMAGES,
            np.eye(2, dtype="int32")[LABELS],
            r"labels of shape \(batch, 8, 8\). Received: labels.shape=\(2, 8, 8, 2",
        ),
        (IMAGES, LABELS[:, :4, :, None], r"labels of shape \(batch, 8, 8\). Received: labels.shape=\(2, 4, 8, 1\)"),
        (IMAGES, PAIR_LABELS, "takes labels as integers .*Received: a dict of moving_labels"),
        (IMAGES[..., 0], LABELS, r"Received: images.shape=\(2, 8, 8\). Add the axis of channels"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"takes images as an array .* Call model\(images\)"):
        model([IMAGES])
    with pytest.raises(
        ValueError, match=r"takes images as an array .*Each element of the data must be \(images,\) or "
    ):
        model.predict(tf.data.Dataset.from_tensors((PAIR,)), verbose=0)


def test_labels_with_an_axis_of_one_are_the_same_labels(segmentation_network):
    found = [segmentation_network.evaluate(IMAGES, labels, verbose=0) for labels in (LABELS, LABELS[..., None])]
    assert found[0] == found[1]


def test_an_autoencoder_asks_for_the_images_twice(autoencoder_network):
    with pytest.raises(
        ValueError, match=r"takes the images to reproduce as an array .*Call model.fit\(images, images\)"
    ):
        autoencoder_network.fit(IMAGES, verbose=0)
    with pytest.raises(ValueError, match=r"Received: the images to reproduce.shape=\(2, 4, 8, 1\)"):
        autoencoder_network.fit(IMAGES, IMAGES[:, :4], verbose=0)
    broken = IMAGES.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="expects finite images, but the images to reproduce holds NaN or infinity"):
        autoencoder_network.fit(IMAGES, broken, verbose=0)


def test_a_model_is_a_part_of_a_functional_one(registration_network):
    inputs = {name: keras.Input((*SHAPE, 1), name=name) for name in ("moving", "fixed")}
    flow = registration_network(inputs)["flow"]
    found = keras.Model(inputs, keras.layers.Rescaling(2.0)(flow)).predict(PAIR, verbose=0)
    np.testing.assert_allclose(found, 2 * registration_network(PAIR)["flow"], atol=1e-6)
