"""Run folders: config.json, and the check that it is the same run."""

import dataclasses
import json

import pytest

from deepsim_tf import recipes
from deepsim_tf.training import runs

RECIPE = recipes.registration("synthetic-platelet", "cpu", "mse", epochs=3)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_config_json_holds_task_recipe_seed_and_versions(tmp_path):
    folder = runs.open_run(tmp_path / "runs" / "mse", RECIPE)
    config = json.loads((folder / "config.json").read_text())
    assert sorted(config) == ["commit", "recipe", "task", "versions"]
    assert config["task"] == "registration"
    assert config["recipe"] == {**dataclasses.asdict(RECIPE), "features": [16, 32, 32, 32]}
    assert (config["recipe"]["seed"], config["recipe"]["epochs"], config["recipe"]["weight"]) == (
        0,
        3,
        0.1,
    )
    assert {"python", "tensorflow", "keras", "voxelmorph", "numpy"} <= set(config["versions"])
    assert config["versions"]["voxelmorph"] == "0.2"


def test_the_recipe_comes_back_from_the_folder(tmp_path):
    assert runs.read_recipe(runs.open_run(tmp_path / "run", RECIPE)) == RECIPE
    segmentation = recipes.segmentation("synthetic-brain", "cpu", seed=5)
    assert runs.read_recipe(runs.open_run(tmp_path / "other", segmentation)) == segmentation


def test_every_preset_resolves_to_a_recipe_of_its_task():
    for dataset, entry in recipes.DATASETS.items():
        for preset in entry.presets:
            assert recipes.segmentation(dataset, preset, data="anywhere").task == "segmentation"
            assert recipes.autoencoder(dataset, preset, data="anywhere").task == "autoencoder"
            assert recipes.registration(dataset, preset, "ncc", data="anywhere").task == "registration"


def test_changes_replace_fields_and_none_changes_nothing():
    recipe = recipes.registration("phc-u373", "paper", "mse", data="here", epochs=7, batch_size=None)
    assert (recipe.epochs, recipe.batch_size, recipe.backbone, recipe.features) == (7, 5, "paper", (64, 128, 256))


def test_the_same_recipe_opens_the_folder_again_whatever_the_versions(tmp_path):
    folder = runs.open_run(tmp_path / "run", RECIPE)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "versions": {"keras": "3.0"}, "commit": "0" * 40}))
    (folder / "history.csv").write_text("epoch\n1\n")
    before = contents(folder)
    assert runs.open_run(folder, RECIPE) == folder
    assert contents(folder) == before


def test_another_recipe_is_refused_with_the_fields_that_differ_and_nothing_is_overwritten(tmp_path):
    folder = runs.open_run(tmp_path / "run", RECIPE)
    before = contents(folder)
    other = dataclasses.replace(RECIPE, epochs=4, features=(8, 8))
    message = (
        r"run already holds another recipe: features is \[16, 32, 32, 32\] there and \[8, 8\] here;"
        r" epochs is 3 there and 4 here\. Choose another folder"
    )
    with pytest.raises(ValueError, match=message):
        runs.open_run(folder, other)
    assert contents(folder) == before


def test_a_run_of_the_other_task_is_refused(tmp_path):
    folder = runs.open_run(tmp_path / "run", RECIPE)
    with pytest.raises(ValueError, match="already holds a registration run, and this is a segmentation run"):
        runs.open_run(folder, recipes.segmentation("synthetic-platelet", "cpu"))


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("words")
    with pytest.raises(ValueError, match=r"is not empty and no run \(it has no config.json\). Choose another folder"):
        runs.open_run(tmp_path, RECIPE)
    with pytest.raises(ValueError, match="thesis.tex is not empty and no run"):
        runs.open_run(tmp_path / "thesis.tex", RECIPE)
    assert contents(tmp_path) == {"thesis.tex": b"words"}


def test_an_empty_folder_is_taken(tmp_path):
    assert contents(runs.open_run(tmp_path, RECIPE)).keys() == {"config.json"}


def test_a_folder_without_config_json_is_no_run(tmp_path):
    with pytest.raises(
        ValueError, match="is not a run folder: it has no config.json. Expected the folder that a training wrote"
    ):
        runs.read_config(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text", ["", '{"task": "regis', "[]", "3", '{"task": "registration"}', '{"task": "registration", "recipe": null}']
)
def test_a_damaged_config_json_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json cannot be read\. Expected the JSON that a training wrote"):
        runs.read_config(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"task": "registration", "recipe": {}},
        {"task": "registration", "recipe": {"features": 3}},
        {"task": "registration", "recipe": {"features": [2], "sharpness": 1}},
        {"task": "painting", "recipe": {"features": [2]}},
    ],
)
def test_a_recipe_of_another_version_is_named(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json holds no recipe of this version"):
        runs.read_recipe(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,step,seconds\n1,2,3\n", "has no numbers in seconds_per_step"),
        ("epoch,step,seconds,seconds_per_step\n1,2,3,fast\n", "has no numbers in seconds_per_step"),
        ("", "Cannot read .*history.csv"),
        (None, "Cannot read .*history.csv"),
    ],
)
def test_a_damaged_history_is_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "history.csv").write_text(text)
    with pytest.raises(ValueError, match=f"{message}.*Expected the table that the training wrote"):
        runs.read_history(tmp_path)
