"""Bad input of every kind from Python: ValueErrors that name the argument or the file."""

import deepsim_tf as ds  # isort: skip

import numpy as np
import pytest
import tensorflow as tf

SHAPE = (16, 16)
IMAGES = np.random.default_rng(0).random((2, *SHAPE, 1), "float32")
LABELS = (IMAGES[..., 0] > 0.5).astype("int32")


def pair(moving=IMAGES, fixed=IMAGES):
    return {"moving": moving, "fixed": fixed}


def labels(moving=LABELS, fixed=LABELS):
    return {"moving_labels": moving, "fixed_labels": fixed}


def with_one(value, images=IMAGES):
    images = images.copy()
    images[1, 3, 4] = value
    return images


@pytest.fixture(scope="module")
def model():
    """A registration model as users compile it, its step in a graph, after one good step."""
    model = ds.models.registration_model(SHAPE, features=(2,), classes=2)
    model.compile("adam", "mse", regularizer=ds.losses.Diffusion(), weight=0.1)
    model.fit(pair(), verbose=0)
    return model


@pytest.fixture(scope="module")
def segmentation():
    model = ds.models.segmentation_model(SHAPE, 2, features=(2,))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(IMAGES, LABELS, verbose=0)
    return model


# Images


@pytest.mark.parametrize("other", [(2, 16, 18, 1), (1, 16, 16, 1)], ids=["size", "batch"])
@pytest.mark.parametrize("name", ["DeepSim", "LocalNCC"])
def test_losses_refuse_images_of_unequal_shape(name, other, extractor):
    loss = ds.losses.DeepSim(extractor) if name == "DeepSim" else ds.losses.LocalNCC()
    received = rf"y_true.shape=\(2, 16, 16, 1\), y_pred.shape=\({other[0]}, 16, {other[2]}, 1\)"
    with pytest.raises(ValueError, match=f"{name} compares images of equal shape. Received: {received}"):
        loss(IMAGES, np.zeros(other, "float32"))


@pytest.mark.parametrize("shape", [(2, 16, 1), (2, 4, 4, 4, 4, 1)], ids=["1-D", "4-D"])
@pytest.mark.parametrize("name", ["DeepSim", "LocalNCC"])
def test_losses_refuse_images_of_one_or_four_dimensions(name, shape, extractor):
    loss, images = (
        ds.losses.DeepSim(extractor) if name == "DeepSim" else ds.losses.LocalNCC(),
        np.zeros(shape, "float32"),
    )
    with pytest.raises(
        ValueError, match=rf"{name}.* expects .*2-D.* images.*Received: y_pred.shape=\({', '.join(map(str, shape))}\)"
    ):
        loss(images, images)


@pytest.mark.parametrize("shape", [(16,), (8, 8, 8, 8), 16, (16, 0)])
@pytest.mark.parametrize(
    "make", [lambda shape: ds.models.registration_model(shape), lambda shape: ds.models.segmentation_model(shape, 2)]
)
def test_models_refuse_other_shapes_than_2d_and_3d(make, shape):
    with pytest.raises(
        ValueError, match=r"shape must be the spatial shape of 2-D or 3-D images, without channels.*Received: shape="
    ):
        make(shape)


def test_fit_refuses_images_of_unequal_size(model):
    # Which of the two it says depends on the sizes that Keras has seen before and now leaves open.
    message = r"model (was made for images \(batch, 16, 16, 1\)|compares images of equal shape)\. Received: .*, 16, 1\)"
    with pytest.raises(ValueError, match=message):
        model.fit(pair(moving=IMAGES[:, :8]), verbose=0)
    with pytest.raises(
        ValueError, match=r"equal shape. Received: moving.shape=\(2, 16, 16, 1\), fixed.shape=\(2, 8, 16, 1\)"
    ):
        model(pair(fixed=IMAGES[:, :8]))


def test_a_model_refuses_images_of_unequal_batch(model):
    with pytest.raises(
        ValueError, match=r"equal shape. Received: moving.shape=\(1, 16, 16, 1\), fixed.shape=\(2, 16, 16, 1\)"
    ):
        model(pair(moving=IMAGES[:1]))


def test_fit_refuses_unequal_numbers_of_images(model):
    with pytest.raises(ValueError, match="moving"):
        model.fit(pair(moving=IMAGES[:1]), verbose=0)


def test_predict_refuses_nan_and_infinity(model):
    bad = IMAGES.copy()
    bad[0, 3, 3] = np.nan
    with pytest.raises(ValueError, match="fixed holds NaN or infinity"):
        model.predict(pair(fixed=bad), verbose=0)


def test_a_fit_with_corrected_images_works_after_a_refused_one():
    model = ds.models.registration_model(SHAPE, features=(2,))
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="Received: moving of type uint8"):
        model.fit(pair((IMAGES * 255).astype("uint8")), verbose=0)
    assert np.isfinite(model.fit(pair(), verbose=0).history["loss"]).all()


def test_register_refuses_images_of_unequal_shape_or_wrong_dimensions(model):
    with pytest.raises(
        ValueError, match=r"register .*equal shape. Received: moving.shape=\(16, 16, 1\), fixed.shape=\(8, 16, 1\)"
    ):
        ds.register(model, IMAGES[0], IMAGES[0, :8])
    for shape in ((16,), (2, 16, 16, 1), (16, 16, 3)):
        with pytest.raises(
            ValueError, match=r"register expects 2-D images, \(\*spatial\) or \(\*spatial, 1\). Received: moving.shape="
        ):
            ds.register(model, np.zeros(shape, "float32"), IMAGES[0])


def test_fit_refuses_nan_and_infinity_in_arrays_and_in_tf_data(model):
    message = "registration model expects finite images, but fixed holds NaN or infinity"
    with pytest.raises(ValueError, match=message):
        model.fit(pair(fixed=with_one(np.nan)), verbose=0)
    with pytest.raises(ValueError, match=message):
        model.fit(pair(fixed=with_one(np.inf)), verbose=0)
    with pytest.raises(ValueError, match=message):
        model.fit(tf.data.Dataset.from_tensors((pair(fixed=with_one(-np.inf)),)), verbose=0)
    with pytest.raises(ValueError, match=message):
        model.evaluate(pair(fixed=with_one(np.nan)), labels(), verbose=0)


def test_segmentation_fit_refuses_nan_integers_and_labels_beyond_the_classes(segmentation):
    with pytest.raises(ValueError, match="segmentation model expects finite images, but images holds NaN or infinity"):
        segmentation.fit(with_one(np.nan), LABELS, verbose=0)
    with pytest.raises(ValueError, match=r"expects labels from 0 to 1 \(classes=2\). Received: labels from 0 to 2\.$"):
        segmentation.fit(IMAGES, with_one(2, LABELS), verbose=0)
    with pytest.raises(ValueError, match=r"expects labels from 0 to 1 \(classes=2\). Received: labels from -1 to 1\.$"):
        segmentation.fit(IMAGES, with_one(-1, LABELS), verbose=0)
    with pytest.raises(
        ValueError, match="expects float images, nominally in .* Received: images of type uint8. Divide by"
    ):
        segmentation.fit((IMAGES * 255).astype("uint8"), LABELS, verbose=0)


def test_registration_evaluate_refuses_labels_beyond_the_classes(model):
    with pytest.raises(ValueError, match=r"expects labels from 0 to 1 \(classes=2\). Received: labels from 0 to 7\.$"):
        model.evaluate(pair(), labels(fixed=with_one(7, LABELS)), verbose=0)


@pytest.mark.parametrize("kind", ["uint8", "int32"])
def test_integer_images_are_refused_with_what_to_do(model, kind):
    integers = (IMAGES * 255).astype(kind)
    message = (
        rf"expects float images, nominally in \[0, 1\]. Received: moving of type {kind}. Divide by the largest"
        r" value of the format"
    )
    with pytest.raises(ValueError, match=message):
        model.fit(pair(moving=integers), verbose=0)
    with pytest.raises(ValueError, match=message):
        model.evaluate(pair(moving=integers), labels(), verbose=0)
    with pytest.raises(ValueError, match=message):
        ds.register(model, integers[0], IMAGES[0])


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_register_and_an_atlas_refuse_nan_and_infinity(model, extractor, value):
    bad = with_one(value)[1]
    with pytest.raises(
        ValueError, match="register expects finite images. Received: fixed with 1 values that are NaN or infinite"
    ):
        ds.register(model, IMAGES[0], bad)
    with pytest.raises(
        ValueError, match="DeepSim expects finite images. Received: fixed with 1 values that are NaN or infinite"
    ):
        ds.losses.DeepSim(extractor, fixed=bad)


def test_register_names_a_file_that_cannot_be_read(tmp_path):
    model = ds.models.registration_model(SHAPE, features=(2,), intensity="fixed:0:256")
    (tmp_path / "notes.png").write_text("no image")
    with pytest.raises(ValueError, match=r"No file .*missing\.tif"):
        ds.register(model, tmp_path / "missing.tif", IMAGES[0])
    with pytest.raises(ValueError, match=r"Cannot read .*notes\.png \(8 bytes\): expected a PNG or TIFF image"):
        ds.register(model, IMAGES[0], str(tmp_path / "notes.png"))


def test_a_model_without_an_intensity_rule_takes_arrays_only(model, tmp_path):
    with pytest.raises(ValueError, match="carries no intensity rule for files. Pass moving as a float array"):
        ds.register(model, tmp_path / "any.png", IMAGES[0])


def test_register_and_evaluate_refuse_a_model_of_another_task(segmentation):
    with pytest.raises(ValueError, match="Expected a registration model .* Received: SegmentationModel"):
        ds.register(segmentation, IMAGES[0], IMAGES[0])
    with pytest.raises(ValueError, match="Expected a registration model .* Received: SegmentationModel"):
        ds.evaluate(segmentation, ds.data.synthetic("cells", "test", size=(32, 32), count=1))
