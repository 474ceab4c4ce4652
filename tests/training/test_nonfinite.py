"""A step whose loss is not finite leaves no trace, is reported with its images, and ends a training with too many."""

import functools
import os
import pathlib

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf
from entries import smaller
from places import ROOT

from deepsim_tf import cli, recipes, training
from deepsim_tf.data.order import image_order, pair_order
from deepsim_tf.training import nonfinite
from deepsim_tf.training.callbacks import RunFolder

BAD = 2.0  # the brightest voxel of an image that is bad


@keras.saving.register_keras_serializable("tests")
class Fragile(keras.losses.Loss):
    """Mean squares; NaN on a bad fixed image, in the loss or in its gradient alone."""

    def __init__(self, where="loss", **kwargs):
        super().__init__(**kwargs)
        self.where = where

    def call(self, fixed, warped):
        axes = list(range(1, len(fixed.shape)))
        bad = tf.reduce_max(fixed, axes) == BAD
        squares = tf.reduce_mean(tf.square(fixed - warped), axes)
        if self.where == "loss":
            return squares + tf.where(bad, float("nan"), 0.0)
        return squares + tf.sqrt(tf.where(bad, 0 * squares, 1.0))  # 0 times the slope of a root at 0, which is infinite

    def get_config(self):
        return {**super().get_config(), "where": self.where}


def make_bad(x):
    fixed = np.array(x["fixed"])
    fixed[0, 0, 0] = BAD
    return {**x, "fixed": fixed}


def values(model):
    """All that a step changes, but for the metrics, which `train_on_batch` resets, and the count."""
    variables = [*model.weights, *model.optimizer.variables, *model.update_state.values()]
    return [np.array(variable) for variable in variables]


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "graph"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_bad_step_changes_nothing_but_the_count(pair, eager, accumulation):
    x, _ = pair()
    model = ds.models.registration_model((16, 20), backbone="paper", features=(2,))  # with batch norm and dropout
    model.compile("adam", Fragile(), accumulation=accumulation, run_eagerly=eager)
    model.train_on_batch(x)
    before = values(model)
    assert np.isnan(model.train_on_batch(make_bad(x), return_dict=True)["loss"])  # of no step
    for value, expected in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert model.skipped.count.numpy() == 1
    for _ in range(accumulation):
        model.train_on_batch(x)
    assert model.skipped.count.numpy() == 1
    assert any((value != expected).any() for value, expected in zip(values(model), before, strict=True))


def test_a_gradient_that_is_not_finite_is_a_bad_step_too(pair, registration):
    model = registration(Fragile("gradient"))
    before = values(model)
    logs = model.train_on_batch(make_bad(pair()[0]), return_dict=True)
    for value, expected in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert model.skipped.count.numpy() == 1 and np.isnan(logs["loss"])  # of no step
    model.train_on_batch(pair()[0])
    assert model.skipped.count.numpy() == 1


def test_the_metrics_of_an_epoch_are_those_of_its_good_steps(texture):
    model = ds.models.segmentation_model((16, 20), 2, features=(2,))
    # The logarithm of 0.5 - 1 where there is a label.
    model.compile(
        "sgd",
        lambda labels, p: tf.math.log(tf.reduce_mean(p) - tf.cast(tf.reduce_max(labels), tf.float32)),
        metrics=["accuracy"],
    )
    model.optimizer.learning_rate = 0.0
    images, labels = np.repeat(texture(), 3, axis=0), np.zeros((3, 16, 20), "int32")
    labels[1] = 1
    with pytest.warns(UserWarning, match="1 of the 3 steps of epoch 1 were skipped"):
        found = model.fit(images, labels, batch_size=1, shuffle=False, verbose=0).history
    assert model.skipped.count.numpy() == 1
    expected = model.evaluate(images[:1], labels[:1], verbose=0, return_dict=True)
    np.testing.assert_allclose(
        [found["loss"][0], found["accuracy"][0]], [expected["loss"], expected["accuracy"]], rtol=1e-5
    )


def test_a_share_that_is_bad_on_one_of_two_devices_is_skipped_on_both(fresh_python):
    code = """
import deepsim_tf as ds
import numpy as np, tensorflow as tf, keras
cpu, part = tf.config.list_physical_devices("CPU")[0], tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [part] * 2)
from test_nonfinite import Fragile, make_bad, values
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
rng = np.random.default_rng(0)
good = {name: rng.random((2, 16, 16, 1)).astype("float32") for name in ("moving", "fixed")}
bad = make_bad(good)
with strategy.scope():
    model = ds.models.registration_model((16, 16), backbone="paper", features=(2,))
    model.compile("adam", Fragile(), accumulation=2)
def fit(*batches):
    x = {name: np.concatenate([batch[name] for batch in batches]) for name in good}
    return model.fit(x, batch_size=2, shuffle=False, verbose=0).history["loss"][0]
fit(good, good)
before = values(model)[:len(model.weights)]
fit(bad, bad)
for value, expected in zip(values(model), before):
    np.testing.assert_array_equal(value, expected)
assert model.skipped.count.numpy() == 2
assert np.isfinite(fit(good, bad, good)) and model.skipped.count.numpy() == 3
assert any((a != b).any() for a, b in zip(values(model), before))
print("both")
"""
    here = pathlib.Path(__file__).parent
    result = fresh_python(code, PYTHONPATH=os.pathsep.join(map(str, (ROOT, here, here.parent))))
    assert result.stdout.endswith("both\n"), result.stderr


COUNT = {"train": 6, "val": 2}
PRESET = {"features": (2,), "epochs": 3, "steps_per_epoch": 3, "batch_size": 2, "augment": "none"}


def images(split, bad=()):
    """Synthetic pairs, some fixed images of which are bad."""
    made = ds.data.synthetic("platelet", split, size=(32, 32), count=COUNT[split])

    def load(i):
        image, labels = np.array(made[i][0]), made[i][1]
        if i in bad:
            image[0, 0] = BAD
        return image, labels

    return made.derived(load)


@pytest.fixture
def tiny(monkeypatch):
    """`tiny(bad)`.

    The dataset synthetic-platelet is small, and so many of its training pairs are bad; the loss is Fragile.
    """

    def make(count):
        fixed = [j for _, j in images("train").pairs()][:count]
        bad = smaller("synthetic-platelet", lambda split: images(split, fixed if split == "train" else ()), PRESET)
        monkeypatch.setitem(recipes.DATASETS, "synthetic-platelet", bad)
        monkeypatch.setattr(recipes.RegistrationRecipe, "similarity", lambda self: Fragile())
        monkeypatch.setattr("deepsim_tf.training.train.RunFolder", functools.partial(RunFolder, every=-1, inside=-1))
        train = images("train", fixed)
        return [f"{train.names[i]} -> {train.names[j]}" for i, j in train.pairs()[:count]]

    return make


def test_a_training_reports_the_pair_in_a_line_and_goes_on(tiny, tmp_path, capfd):
    (name,) = tiny(1)
    model = training.train_registration(
        recipes.registration("synthetic-platelet", "cpu", "mse"), tmp_path / "run", verbose=0
    )
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 3 and all(name in line for line in lines)  # once an epoch
    assert lines[2].startswith("deepsim: skipped a step whose loss is not finite (epoch 3, batch ")
    assert "3 of at most 10 in this run" in lines[2]
    assert np.isfinite(pandas.read_csv(tmp_path / "run" / "history.csv")).all(axis=None)
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_beyond_the_limit_the_command_ends_in_one_line_with_the_pairs_and_good_checkpoints(tiny, tmp_path, capfd):
    names = tiny(6)  # all of them: every step is bad
    command = [
        "train-registration",
        "--dataset",
        "synthetic-platelet",
        "--loss",
        "mse",
        "--max-skipped",
        "4",
        "--verbose",
        "0",
    ]
    command += ["--out", str(tmp_path / "run")]
    for steps in ([1, 2, 3, 4], []):  # again, from the newest checkpoint, it is the fifth bad step at once
        assert cli.main(command) == 2
        *skipped, last = capfd.readouterr().err.splitlines()
        assert len(skipped) == len(steps)
        assert last.startswith(
            f"deepsim: The loss is not finite in 5 steps of the run {tmp_path / 'run'}, more than may be skipped (4):"
            " last in "
        )
        assert any(name in last for name in names) and "(epoch 2, batch 2). If these are always the same images" in last
        with np.load(tmp_path / "run" / "checkpoints" / "epoch_00001_batch_0000001.npz") as stored:
            assert all(np.isfinite(stored[name]).all() for name in stored.files)
    assert not (tmp_path / "run" / "model.keras").exists()


def test_the_names_are_those_of_the_batches_that_the_training_sees():
    train = images("train")
    stack = train.stack()[0]
    names = nonfinite.batch_names(train, pair_order(train, 2, training=True, seed=3), steps_per_epoch=2)
    batches = iter(ds.data.registration_dataset(train, 2, training=True, seed=3, first_epoch=0))
    seen = [next(batches)[0] for _ in range(6)]

    def find(image):
        (index,) = np.flatnonzero((stack == image.numpy()).all(axis=(1, 2, 3)))
        return train.names[index]

    for number, x in enumerate(seen):  # two batches are an epoch of the recipe
        pairs = zip(x["moving"], x["fixed"], strict=True)
        assert names(*divmod(number, 2)) == [f"{find(moving)} -> {find(fixed)}" for moving, fixed in pairs]


def test_names_of_single_images_of_an_atlas_and_of_files(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 255, (32, 32)).astype(np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "p.csv").write_text("moving,fixed,split\na.png,b.png,train\nb.png,a.png,train\nb.png,c.png,val\n")
    own = ds.data.from_csv(tmp_path / "p.csv", "train")
    pairs = nonfinite.batch_names(own, pair_order(own, 1, training=True), 2)
    assert sorted(pairs(0, 0) + pairs(0, 1)) == [
        f"{tmp_path}/a.png -> {tmp_path}/b.png",
        f"{tmp_path}/b.png -> {tmp_path}/a.png",
    ]
    single = nonfinite.batch_names(own, image_order(own, 1, training=True), 2)
    assert sorted(single(0, 0) + single(0, 1)) == [f"{tmp_path}/a.png", f"{tmp_path}/b.png"]
    atlas = (np.zeros((4, 4, 1), np.float32), None)
    other = ds.data.ImageSet(
        lambda i: (np.zeros((4, 4, 1), np.float32), None),
        ["x", "y"],
        name="n",
        split="train",
        classes=None,
        shape=(4, 4),
        spacing=(1, 1),
        intensity="none",
        pairs=[(0, None), (1, None)],
        atlas=atlas,
    )
    names = nonfinite.batch_names(other, pair_order(other, 2, training=True), 1)
    assert sorted(names(5, 0)) == ["x -> atlas", "y -> atlas"]
