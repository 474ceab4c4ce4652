"""Names, order and direction of what `fit` and `evaluate` report."""

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest

SHAPE = (16, 20)


@pytest.fixture(scope="module")
def data(pair):
    images, labels = pair(SHAPE)
    return images, labels


def compiled(name, **arguments):
    if name == "segmentation":
        model = ds.models.segmentation_model(SHAPE, 2, features=(2,))
        metrics = ["accuracy", ds.models.SegmentationDice()]
        model.compile("adam", "sparse_categorical_crossentropy", metrics=metrics, run_eagerly=True, **arguments)
    else:
        model = ds.models.registration_model(SHAPE, features=(2,), classes=2)
        goal = {"regularizer": ds.losses.Diffusion(), "supervised": "mse"}
        model.compile("adam", "mse", metrics=["mae"], run_eagerly=True, **goal, **arguments)
    return model


EXPECTED = {
    "registration": ["loss", "similarity", "regularizer", "supervised", "dice", "mae"],
    "segmentation": ["loss", "accuracy", "dice"],
}


def of(name, data):
    images, labels = data
    return (images, labels) if name == "registration" else (images["moving"], labels["moving_labels"])


@pytest.mark.parametrize("name", EXPECTED)
def test_the_results_of_evaluate_have_the_documented_names_and_order(name, data):
    model = compiled(name)
    assert model.metrics_names == EXPECTED[name]  # known before the first step
    found = model.evaluate(*of(name, data), verbose=0)
    named = model.evaluate(*of(name, data), verbose=0, return_dict=True)
    assert model.metrics_names == [metric.name for metric in model.metrics] == EXPECTED[name]
    assert found == [named[key] for key in EXPECTED[name]] and set(named) == set(EXPECTED[name])
    assert model.test_on_batch(*of(name, data)) == pytest.approx(found, rel=1e-5)


def test_the_names_are_those_of_the_last_results(data):
    model, (images, labels) = compiled("registration", supervised_weight=0.0), data
    history = model.fit(images, labels, verbose=0).history
    assert set(history) == set(model.metrics_names) == set(EXPECTED["registration"]) - {"dice"}
    assert model.evaluate(images, labels, verbose=0, return_dict=True).keys() == set(model.metrics_names)
    history = model.fit(images, labels, validation_data=(images, labels), verbose=0).history
    assert {key.removeprefix("val_") for key in history} == set(model.metrics_names)


def test_without_labels_there_is_no_dice_to_name(data):
    model = ds.models.registration_model(SHAPE, features=(2,))
    model.compile("adam", "mse", run_eagerly=True)
    assert model.metrics_names == ["loss", "similarity", "regularizer"]
    assert len(model.evaluate(data[0], verbose=0)) == 3
    assert len(model.evaluate(*data, verbose=0)) == 4 and model.metrics_names[-1] == "dice"


@pytest.mark.parametrize(
    ("name", "monitor", "better"),
    [
        ("registration", "val_dice", "greater"),
        ("registration", "val_loss", "less"),
        ("registration", "val_similarity", "less"),
        ("registration", "regularizer", "less"),
        ("registration", "val_supervised", "less"),
        ("registration", "val_mae", "less"),
        ("segmentation", "val_dice", "greater"),
        ("segmentation", "val_accuracy", "greater"),
        ("segmentation", "loss", "less"),
    ],
)
def test_callbacks_know_which_way_is_better(name, monitor, better, data, tmp_path):
    callbacks = [
        keras.callbacks.EarlyStopping(monitor),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor, save_best_only=True),
        keras.callbacks.ReduceLROnPlateau(monitor),
    ]
    x, y = of(name, data)
    compiled(name).fit(x, y, validation_data=(x, y), callbacks=callbacks, verbose=0)
    assert {callback.monitor_op.__name__ for callback in callbacks} == {better}


def test_the_best_dice_is_the_one_that_is_kept(data, tmp_path):
    images, labels = data
    model = compiled("registration")
    dice = iter([0.5, 0.9, 0.7])

    class Pretend(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            logs["val_dice"] = next(dice)

    best = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras", "val_dice", save_best_only=True)
    model.fit(images, labels, validation_data=data, epochs=3, callbacks=[Pretend(), best], verbose=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.keras", "2.keras"] and best.best == 0.9


def test_dice_of_a_segmentation_comes_back_from_a_file(data, tmp_path):
    model = compiled("segmentation")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.metrics_names == EXPECTED["segmentation"]
    x, y = of("segmentation", data)
    np.testing.assert_allclose(loaded.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-6)
