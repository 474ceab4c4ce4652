"""Every argument of `compile` is used, or refused by its name."""

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest
import tensorflow as tf

SHAPE = (16, 20)
MODELS = {
    "registration": lambda: ds.models.registration_model(SHAPE, features=(2,)),
    "segmentation": lambda: ds.models.segmentation_model(SHAPE, 2, features=(2,)),
    "autoencoder": lambda: ds.models.autoencoder(SHAPE, features=(2,)),
}


@keras.saving.register_keras_serializable("tests")
class SquaresPlusSeven(keras.losses.Loss):
    """Mean squares of an image, and 7."""

    def call(self, fixed, warped):
        return tf.reduce_mean((fixed - warped) ** 2, axis=(1, 2, 3)) + 7


def fresh(**arguments):
    model = MODELS["registration"]()
    model.compile("adam", run_eagerly=True, **arguments)
    return model


def test_loss_is_the_similarity_by_the_name_that_keras_gives_it(pair):
    images, _ = pair(SHAPE)
    found = fresh(loss=SquaresPlusSeven()).evaluate(images, verbose=0)
    expected = np.mean((images["fixed"] - images["moving"]) ** 2) + 7  # the flow starts at zero
    np.testing.assert_allclose(found[:2], [expected, expected], rtol=1e-4)


def test_without_either_name_the_similarity_is_the_mean_square():
    assert isinstance(fresh().similarity, keras.losses.MeanSquaredError)


def test_both_names_at_once_are_refused():
    with pytest.raises(ValueError, match="similarity and loss are two names of one argument of compile"):
        fresh(similarity="mse", loss="mse")


def test_loss_weights_are_refused_with_where_the_factors_go():
    with pytest.raises(ValueError, match=r"takes no loss_weights. Give the factors with the losses, as in similarity"):
        fresh(loss_weights=[1, 100])


def test_metrics_are_of_the_fixed_and_the_warped_image(pair):
    images, _ = pair(SHAPE)
    found = fresh(metrics=["mae"]).evaluate(images, verbose=0, return_dict=True)
    difference = np.asarray(images["fixed"] - images["moving"], "float64")  # the flow starts at zero
    np.testing.assert_allclose(found["mae"], np.abs(difference).mean(), rtol=1e-4)


def test_metrics_of_other_outputs_are_refused():
    with pytest.raises(ValueError, match=r"metrics of a registration model is a list of Keras metrics of \(fixed, wa"):
        fresh(metrics={"flow": ["mae"]})


@pytest.mark.parametrize("name", MODELS)
def test_an_unknown_argument_is_refused_by_its_name(name):
    with pytest.raises(TypeError, match="lambda_"):
        MODELS[name]().compile("adam", lambda_=3)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("value", [-1, 1.5, True])
def test_a_wrong_number_of_steps_to_skip_is_refused(name, value):
    with pytest.raises(ValueError, match="max_skipped must be the number of steps that one fit may skip, at least 0"):
        MODELS[name]().compile("adam", loss="mse", max_skipped=value)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_auto_scale_loss_is_used_under_float16_and_kept(name, scale, mixed_float16, tmp_path):
    model = MODELS[name]()
    model.compile("adam", loss="mse", auto_scale_loss=scale)
    model.save(tmp_path / "model.keras")
    for found in (model, keras.models.load_model(tmp_path / "model.keras")):
        assert isinstance(found.optimizer, keras.optimizers.LossScaleOptimizer) == scale


def test_steps_per_execution_are_used(pair):
    images, ends = pair(SHAPE)[0], []
    model = MODELS["registration"]()
    model.compile("adam", steps_per_execution=2)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    model.fit(images, batch_size=1, epochs=2, callbacks=[callback], verbose=0)
    assert ends == [1, 1]  # the second batch ends each execution, and each epoch


def test_all_arguments_come_back_from_a_file(tmp_path):
    given = {"accumulation": 3, "max_skipped": 4, "steps_per_execution": 2, "weight": 0.5}
    model = MODELS["registration"]()
    model.compile(
        "adam",
        [("mae", 2.0), ("mse", 1.0)],
        regularizer=ds.losses.Diffusion(),
        metrics=["mae"],
        jit_compile=True,
        **given,
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert {name: getattr(loaded, name) for name in given} == given and loaded.jit_compile
    assert [(type(loss).__name__, factor) for loss, factor in loaded.similarity] == [
        ("MeanAbsoluteError", 2.0),
        ("MeanSquaredError", 1.0),
    ]
    assert loaded.metrics_names == model.metrics_names and loaded.metrics_names[-1] == "mae"
