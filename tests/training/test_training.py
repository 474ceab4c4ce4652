"""Trainings of three small steps an epoch.

Run folder, history, learning-rate schedule. Killed ones are in test_kill.py.
"""

import functools

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pandas
import pytest
from entries import few_platelets

from deepsim_tf import recipes, training
from deepsim_tf.data.order import pair_order
from deepsim_tf.training import runs, train
from deepsim_tf.training.callbacks import RunFolder

COUNT = {"train": 8, "val": 2, "test": 2}
TINY = {"features": (2,), "epochs": 4, "steps_per_epoch": 3, "batch_size": 2}
SLOW = {"patience": 2, "learning_rate": 1e-4, "augment": "none"}  # no progress by 1e-4: the schedule divides the rate


@pytest.fixture(scope="module", autouse=True)
def tiny_data():
    """The dataset synthetic-platelet with few small pairs, and a checkpoint after every epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.DATASETS, "synthetic-platelet", few_platelets(COUNT))
        patch.setattr(train, "RunFolder", functools.partial(RunFolder, every=-1))
        yield


def recipe(**changes):
    return recipes.registration("synthetic-platelet", "cpu", "mse", **{**TINY, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(model, folder) of an undisturbed run."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return training.train_registration(recipe(**SLOW), folder, verbose=0), folder


def history(folder):
    return pandas.read_csv(folder / "history.csv")


def test_a_run_folder_holds_what_the_design_says(finished):
    _, folder = finished
    assert {"config.json", "model.keras", "history.csv", "events", "checkpoints"} == {
        path.name for path in folder.iterdir()
    }
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names == ["epoch_00003_batch_0000000.npz", "epoch_00004_batch_0000000.npz"]
    assert list((folder / "events").rglob("events.out.tfevents*"))


def test_the_history_has_a_row_an_epoch_with_losses_and_times(finished):
    table = history(finished[1])
    assert list(table.columns[:4]) == ["epoch", "step", "seconds", "seconds_per_step"]
    losses = {"loss", "similarity", "regularizer", "val_loss", "val_similarity", "val_regularizer", "val_dice"}
    assert set(table.columns[4:]) == losses | {"learning_rate"}
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    assert table["step"].tolist() == [3, 6, 9, 12]
    assert table["seconds"].is_monotonic_increasing and (table["seconds_per_step"] > 0).all()
    weight = 0.1
    np.testing.assert_allclose(table["loss"], table["similarity"] + weight * table["regularizer"], rtol=1e-5)


def test_the_learning_rate_drops_to_a_tenth_after_patience_epochs(finished):
    # Epoch 1 is the best, 2 and 3 are no better by 1e-4: the rate drops at the end of epoch 3.
    np.testing.assert_allclose(history(finished[1])["learning_rate"], [1e-4, 1e-4, 1e-4, 1e-5], rtol=1e-5)


def test_the_saved_model_is_the_returned_one(finished):
    model, folder = finished
    loaded = keras.models.load_model(folder / "model.keras")
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (loaded.classes, loaded.intensity, loaded.weight) == (
        3,
        "none",
        0.1,
    )


def test_a_finished_run_called_again_trains_nothing(finished, monkeypatch):
    model, folder = finished
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(ds.models.RegistrationModel, "fit", lambda *a, **k: pytest.fail("it trained"))
    again = training.train_registration(recipe(**SLOW), folder, verbose=0)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_that_lost_only_its_model_writes_it_from_the_last_checkpoint(finished):
    model, folder = finished
    (folder / "model.keras").unlink()
    training.train_registration(recipe(**SLOW), folder, verbose=0)
    for a, b in zip(keras.models.load_model(folder / "model.keras").get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_schedule_continues_where_it_stood(tmp_path):
    plateau = keras.callbacks.ReduceLROnPlateau()
    run = RunFolder(tmp_path, plateau)
    run.schedule = {"best": 0.25, "wait": 7, "cooldown_counter": 3}
    plateau.on_train_begin()  # Keras resets it, and calls it first
    assert (plateau.best, plateau.wait) == (None, 0)
    run.on_train_begin()
    assert (plateau.best, plateau.wait, plateau.cooldown_counter) == (0.25, 7, 3)


def test_the_batches_from_a_step_on_are_those_of_the_whole_stream():
    # 8 pairs in batches of 2: 4 batches in an epoch of the images, 3 in one of the recipe.
    images = recipe(**SLOW).images("train")
    arguments = pair_order(images, 2, training=True), ds.data.registration_dataset, images, recipe(**SLOW)
    whole, rest = (train._batches_from(step, *arguments) for step in (0, 6))
    seventh = next(iter(whole.skip(6)))[0]["moving"].numpy()
    np.testing.assert_array_equal(next(iter(rest))[0]["moving"], seventh)
    assert not np.array_equal(next(iter(whole))[0]["moving"], seventh)


def test_a_file_that_breaks_during_a_training_is_named_in_one_sentence(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 255, (32, 32)).astype(np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "p.csv").write_text("moving,fixed,split\na.png,b.png,train\nb.png,a.png,train\nb.png,c.png,val\n")
    broken = recipes.registration(
        "csv", "cpu", "mse", data=tmp_path / "p.csv", cache="none", features=(2,), epochs=2, steps_per_epoch=2
    )
    train = broken.images("train")
    model = ds.models.registration_model(train.shape, features=(2,))
    model.compile("adam", "mse")
    batches = ds.data.registration_dataset(train, 1, training=True)
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"^Cannot read .*b.png \(100 bytes\): expected a PNG or TIFF image"):
        model.fit(batches, verbose=0)


def test_a_moved_folder_with_its_label_map_goes_on(tmp_path):
    (tmp_path / "map.csv").write_text("label,class\n1,1\n2,1\n")
    (tmp_path / "p.csv").write_text("image,labels,split\n")
    here = recipes.segmentation("csv", "cpu", data=tmp_path / "p.csv", options={"label_map": str(tmp_path / "map.csv")})
    assert here.options == {"label_map": [[1, 1], [2, 1]]}
    runs.open_run(tmp_path / "run", here)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "map.csv").rename(moved / "map.csv")
    there = recipes.segmentation("csv", "cpu", data=moved / "p.csv", options={"label_map": str(moved / "map.csv")})
    assert runs.check_run(tmp_path / "run", there)
    assert runs.read_recipe(runs.open_run(tmp_path / "run", there)).data == str(moved / "p.csv")
