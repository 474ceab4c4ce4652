"""The tables of losses, extractors and data sets: they name one another rightly, and one entry more is enough."""

import deepsim_tf as ds  # isort: skip
import dataclasses
import inspect

import numpy as np
import pytest

from deepsim_tf import checks, recipes
from deepsim_tf.checks import Option
from deepsim_tf.cli import main
from deepsim_tf.data.pairing import SPLITS
from deepsim_tf.losses.table import named
from deepsim_tf.recipes.datasets import weight_of


def test_every_name_in_a_table_is_one_of_another():
    for loss in recipes.LOSSES.values():
        assert loss.extractor in (None, *recipes.EXTRACTORS)
        assert set(loss.weights) | set(loss.published) <= set(recipes.DATASETS)
        assert set(loss.intensities) <= set(loss.options)
    for dataset in recipes.DATASETS.values():
        assert dataset.like in (None, *recipes.DATASETS) and set(dataset.weights) <= set(recipes.LOSSES)
        assert "cpu" in dataset.presets and set(dataset.presets) <= set(recipes.PRESETS)
        for preset in dataset.presets.values():
            fields = {field.name for field in dataclasses.fields(recipes.Recipe)}
            assert all(set(preset.of(task)) <= fields for task in recipes.TASKS)
    for task, extractor in recipes.EXTRACTORS.items():
        assert extractor.command in (None, f"train-{task}")


def test_every_option_is_an_argument_of_what_it_is_for():
    for entry in recipes.LOSSES.values():
        assert set(entry.options) <= set(inspect.signature(entry.make).parameters)
        for name, value in entry.defaults().items():
            assert checks.is_a(value, entry.options[name].kind)
    for entry in recipes.DATASETS.values():
        assert set(entry.options) <= set(inspect.signature(entry.load).parameters)


def test_titles_and_descriptions_tell_the_entries_apart():
    for table in (recipes.LOSSES, recipes.DATASETS, recipes.EXTRACTORS, recipes.REGULARIZERS):
        assert len({entry.about for entry in table.values()}) == len(table)
        assert not any(entry.about.endswith(".") for entry in table.values())
    assert len({loss.title for loss in recipes.LOSSES.values()}) == len(recipes.LOSSES)


@pytest.mark.parametrize(
    ("dataset", "loss", "weight"),
    [
        ("synthetic-cells", "ncc", 0.25),  # as PhC-U373
        ("synthetic-brain", "nmi", 2.0),  # as the brains
        ("synthetic-platelet", "mse", 0.1),  # its own
        ("synthetic-platelet", "ncc", 0.5),  # as the platelets
        ("csv", "deepsim", 0.5),
        ("csv", "mae", None),
    ],
)
def test_a_data_set_takes_the_weights_of_the_one_it_is_like_where_it_has_none_of_its_own(dataset, loss, weight):
    assert weight_of(dataset, loss) == weight


def test_a_name_of_the_table_is_enough_to_compile_with(registration):
    model = registration("ncc")
    assert isinstance(model.similarity, ds.losses.LocalNCC)
    model.compile("adam", "mind", regularizer="bending", weight=0.1)
    assert isinstance(model.similarity, ds.losses.MIND) and isinstance(model.regularizer, ds.losses.BendingEnergy)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("similarity", "ssim", "Unknown similarity 'ssim'. Available: mse, ncc, nmi, mind, mae"),
        ("similarity", "deepsim", "similarity 'deepsim' needs more than a name: pass the loss itself"),
        ("similarity", "ncc-sup", "similarity 'ncc-sup' needs more than a name"),
        ("regularizer", "mse", "Unknown regularizer 'mse'. Available: diffusion, bending"),
        ("similarity", np.mean, "similarity must be a keras.losses.Loss, as in ds.losses, or one of mse, ncc"),
    ],
)
def test_a_name_that_does_not_make_a_loss_is_refused_with_those_that_do(argument, value, message):
    with pytest.raises(ValueError, match=message):
        named(argument, value)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "9", 9),
        (float, "1e-3", 0.001),
        (float | None, "none", None),
        (bool, "false", False),
        (list[int], "64,48", [64, 48]),
        (str, "none", "none"),
    ],
)
def test_a_text_becomes_a_value_of_its_kind(kind, text, value):
    found = Option(kind, "what it is").parse("size", text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (int, "9.5", "size must be a whole number. Received: size=9.5"),
        (bool, "maybe", "size must be true or false. Received: size=maybe"),
        (float | None, "few", "size must be a number or none. Received: size=few"),
        (list[int], "a,b", "size must be whole numbers. Received: size=a,b"),
    ],
)
def test_a_text_of_another_kind_is_refused(kind, text, message):
    with pytest.raises(ValueError, match=message):
        Option(kind, "what it is").parse("size", text)


def test_one_entry_more_is_a_data_set_of_the_command(monkeypatch, tmp_path, capsys):
    def load(root, split, *, blur=0, cache="auto", problems=None):
        checks.known("split", split, SPLITS)
        return ds.data.synthetic("cells", split, size=(32, 32), count=2, noise=blur / 10)

    entry = recipes.DatasetEntry(
        load=load,
        about="moss",
        place=None,
        unit="µm",
        options={"blur": Option(int, "how much")},
        like="phc-u373",
        presets={"cpu": recipes.Preset({"features": (2,), "batch_size": 1, "epochs": 1, "steps_per_epoch": 1})},
    )
    monkeypatch.setitem(recipes.DATASETS, "moss", entry)
    assert main(["check", "moss", "anywhere", "--verbose", "0"]) == 0
    assert "train: 4 images of 32 x 32" in capsys.readouterr().out
    run = ["--dataset", "moss", "--loss", "mse", "--out", str(tmp_path / "run"), "--verbose", "0"]
    assert main(["train-registration", *run]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--verbose", "0"]) == 0
    assert "HD95 (µm)" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert recipes.registration("moss", "cpu", "ncc", options={"blur": 1}).weight == 0.25
    with pytest.raises(ValueError, match="blur of dataset 'moss' must be a whole number. Received: blur='much'"):
        recipes.registration("moss", "cpu", "ncc", options={"blur": "much"})
