"""--loss-option and --regularizer: from the command line and from Python to config.json and the compiled model."""

import importlib
import json
import re

import deepsim_tf as ds  # isort: skip
import keras
import pandas
import pytest
from entries import few_platelets

from deepsim_tf import recipes, studies, training
from deepsim_tf.cli import main
from deepsim_tf.training import runs

DATASET = "synthetic-platelet"
TINY = {"features": (2,), "epochs": 1, "steps_per_epoch": 1, "batch_size": 2}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """The data set with two pairs, and a preset of one step."""
    monkeypatch.setitem(recipes.DATASETS, DATASET, few_platelets({"train": 2, "val": 2, "test": 2}, TINY))


def config(folder):
    return json.loads((folder / "config.json").read_text())["recipe"]


def test_the_command_says_both_and_the_run_is_what_python_makes(tmp_path):
    out = tmp_path / "run"
    goal = "--loss ncc --loss-option window=5 --regularizer bending"
    assert main(f"train-registration --dataset {DATASET} {goal} --out {out} --verbose 0".split()) == 0
    assert (config(out)["loss_options"], config(out)["regularizer"]) == ({"window": 5}, "bending")
    model = keras.models.load_model(out / "model.keras")
    assert (type(model.similarity), model.similarity.window) == (ds.losses.LocalNCC, 5)
    assert isinstance(model.regularizer, ds.losses.BendingEnergy)
    same = recipes.registration(DATASET, "cpu", "ncc", loss_options={"window": 5}, regularizer="bending")
    assert runs.read_recipe(out) == same and runs.check_run(out, same)
    with pytest.raises(ValueError, match=r"loss_options is {'window': 5} there and {'window': 9} here"):
        runs.check_run(out, recipes.registration(DATASET, "cpu", "ncc", regularizer="bending"))


def test_config_json_holds_the_defaults_too(tmp_path):
    recipe = recipes.registration(DATASET, "cpu", "nmi", loss_options={"bins": 32})
    runs.open_run(tmp_path / "run", recipe)
    assert config(tmp_path / "run")["loss_options"] == {"bins": 32, "vmin": 0.0, "vmax": 1.0, "fraction": 0.1}
    assert config(tmp_path / "run")["regularizer"] == "diffusion"


@pytest.mark.parametrize(
    ("loss", "texts", "options"),
    [
        ("nmi", ["bins=16", "vmin=none", "vmax=1.5", "fraction=1"], {"bins": 16, "vmin": None, "vmax": 1.5}),
        ("mind", ["radius=1", "dilation=3"], {"radius": 1, "dilation": 3}),
        (
            "deepsim",
            ["levels=level_0,level_1", "foreground=0", "warp=features", "zero_mean=true"],
            {"levels": ["level_0", "level_1"], "foreground": 0.0, "warp": "features", "zero_mean": True},
        ),
        ("deepsim", ["levels=all", "foreground=none", "zero_mean=false"], {"levels": "all", "foreground": None}),
    ],
)
def test_texts_become_values_of_their_kind(loss, texts, options, monkeypatch, tmp_path):
    found = {}
    monkeypatch.setattr(recipes, "registration", lambda *args, **changes: found.update(changes))
    monkeypatch.setattr(training, "train_registration", lambda *args, **kwargs: None)
    given = [part for text in texts for part in ("--loss-option", text)]
    assert main(["train-registration", "--dataset", DATASET, "--loss", loss, "--out", str(tmp_path), *given]) == 0
    assert options.items() <= found["loss_options"].items()
    assert [type(found["loss_options"][name]) for name in options] == [type(value) for value in options.values()]


def test_the_options_of_a_deepsim_reach_the_loss(tmp_path):
    segmentation = ds.models.segmentation_model((32, 32), 3, features=(2, 4))
    segmentation.save(tmp_path / "s.keras")
    options = {"levels": ["level_1"], "foreground": 0.2, "warp": "features", "zero_mean": True}
    recipe = recipes.registration(DATASET, "cpu", "deepsim", extractor=tmp_path / "s.keras", loss_options=options)
    loss = recipe.similarity()
    assert (loss.levels, loss.foreground, loss.warp, loss.zero_mean) == (["level_1"], 0.2, "features", True)


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        (
            {"loss_options": {"bins": 5}},
            "loss 'ncc' has no option 'bins'. It belongs to loss 'nmi'. Available: window.",
        ),
        ({"loss_options": {"sharp": 5}}, "loss 'ncc' has no option 'sharp'. Available: window."),
        ({"loss_options": {"window": 4}}, "window must be an odd number of voxels, as in 9. Received: window=4."),
        ({"loss_options": {"window": "5"}}, "window of loss 'ncc' must be a whole number. Received: window='5'."),
        ({"loss_options": {"window": True}}, "window of loss 'ncc' must be a whole number. Received: window=True."),
        ({"regularizer": "elastic"}, "Unknown regularizer 'elastic'. Available: diffusion, bending."),
    ],
)
def test_what_there_is_not_is_refused_by_name(goal, message, tmp_path):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        recipes.registration(DATASET, "cpu", "ncc", **goal)
    runs.open_run(tmp_path / "run", recipes.registration(DATASET, "cpu", "ncc"))
    text = json.loads((tmp_path / "run" / "config.json").read_text())
    text["recipe"] |= goal
    (tmp_path / "run" / "config.json").write_text(json.dumps(text))
    with pytest.raises(ValueError, match="config.json holds no recipe of this version"):
        runs.read_recipe(tmp_path / "run")


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        ("nmi", {"fraction": 2}, "fraction of the voxels must be above 0 and at most 1"),
        ("mind", {"radius": 1.5}, "radius of loss 'mind' must be a whole number"),
        (
            "mse",
            {"window": 5},
            "loss 'mse' has no option 'window'. It belongs to loss 'ncc', 'ncc-sup'. Available: none",
        ),
    ],
)
def test_ill_typed_options_of_other_losses_are_refused(loss, options, message):
    with pytest.raises(ValueError, match=message):
        recipes.registration(DATASET, "cpu", loss, loss_options=options)


def test_a_sweep_and_a_reproduction_pass_both_on(tmp_path, monkeypatch):
    def measured(folder, recipe, verbose):
        return pandas.DataFrame({"dice": [0.5], "sd_log_jacobian": 0.1, "folds": 0.0})

    sweep, reproduce = (importlib.import_module(f"deepsim_tf.studies.{name}") for name in ("sweep", "reproduce"))
    monkeypatch.setattr(training, "train_registration", lambda recipe, folder, **_: runs.open_run(folder, recipe))
    monkeypatch.setattr(sweep, "_measured", measured)
    monkeypatch.setattr(reproduce, "evaluate_runs", lambda *args, **kwargs: None)
    goal = {"loss_options": {"window": 3}, "regularizer": "bending"}
    studies.sweep(DATASET, "cpu", "ncc", tmp_path / "sweep", factors=[1], verbose=0, **goal)
    assert config(tmp_path / "sweep" / "lambda_0.5")["loss_options"] == {"window": 3}
    losses = {"losses": ["mse", "ncc"], "factors": [1], "noise": []}
    studies.reproduce(DATASET, "cpu", out=tmp_path / "all", verbose=0, **losses, **goal)
    assert config(tmp_path / "all" / "ncc" / "lambda_0.5")["loss_options"] == {"window": 3}
    assert config(tmp_path / "all" / "mse" / "lambda_0.1")["loss_options"] == {}
    assert config(tmp_path / "all" / "mse" / "lambda_0.1")["regularizer"] == "bending"
    with pytest.raises(ValueError, match="None of the losses mse, ncc has an option 'radius'. Available: window."):
        studies.reproduce(DATASET, out=tmp_path / "none", losses=["mse", "ncc"], loss_options={"radius": 1})


def test_a_loss_without_a_known_weight_asks_for_one():
    with pytest.raises(ValueError, match=f"not known for loss 'mae' on '{DATASET}': pass --weight"):
        recipes.registration(DATASET, "cpu", "mae")
    assert recipes.registration(DATASET, "cpu", "mae", weight=0.3).weight == 0.3


@pytest.mark.parametrize("name", ["train-registration", "sweep", "reproduce"])
def test_the_help_lists_every_loss_option_and_data_set_of_the_tables(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    for loss, entry in recipes.LOSSES.items():
        assert f"  {loss} " in text and entry.about in text
        for option in entry.options:
            assert f"  {option} " in text
    for dataset, entry in recipes.DATASETS.items():
        assert f"  {dataset} " in text
        for option in entry.options:
            assert f"--{option.replace('_', '-')} " in text
    assert "bending" in text and "--loss-option NAME=VALUE" in text


def test_one_entry_more_is_a_loss_of_the_command(monkeypatch, tmp_path):
    class Difference(keras.losses.Loss):
        def __init__(self, power=1, **kwargs):
            super().__init__(**kwargs)
            self.power = power

        def call(self, fixed, warped):
            return keras.ops.mean(keras.ops.abs(fixed - warped) ** self.power, axis=(1, 2, 3))

    entry = type(recipes.LOSSES["mse"])(
        "L_p",
        "mean difference to a power",
        Difference,
        options={"power": ds.checks.Option(int, "the power")},
        weights={"platelet-em": 0.7},
    )
    monkeypatch.setitem(recipes.LOSSES, "lp", entry)
    recipe = recipes.registration(DATASET, "cpu", "lp", loss_options={"power": 3})
    assert (recipe.weight, recipe.similarity().power) == (0.7, 3)
    with pytest.raises(ValueError, match=r"Unknown loss 'lq'. Available: .*, lp\."):
        recipes.registration(DATASET, "cpu", "lq")
