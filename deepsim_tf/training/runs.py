"""The run folder: config.json, and the check that it is the same run."""

import dataclasses
import json
import pathlib

import pandas

from deepsim_tf import checks, recipes
from deepsim_tf.files import commit, leftovers, remove_leftovers, versions, written_aside

PLACES = ("data", "cache")  # where the images lie does not make another run: a folder may have moved


def check_run(folder, recipe):
    """Refuse a folder that holds another recipe, or other files; nothing is written.

    Versions and commit may differ: a run may go on after an update.

    Returns:
        Whether the folder holds this run already.

    Raises:
        ValueError: the folder holds another recipe, or other files.
    """
    folder = pathlib.Path(folder)
    if not (folder / "config.json").exists():
        # A kill in the very first write leaves a hidden folder, and no other file.
        if folder.exists() and (not folder.is_dir() or set(folder.iterdir()) - set(leftovers(folder / "config.json"))):
            raise ValueError(
                f"{folder} is not empty and no run (it has no config.json). Choose another folder (--out)."
            )
        return False
    other = read_config(folder)
    if other["task"] != recipe.task:
        raise ValueError(
            f"{folder} already holds a {other['task']} run, and this is a {recipe.task} run. Choose another folder"
            " (--out)."
        )
    differences = [
        f"{name} is {other['recipe'].get(name)!r} there and {value!r} here"
        for name, value in _as_json(recipe).items()
        if name not in PLACES and other["recipe"].get(name) != value
    ]
    if differences:
        raise ValueError(
            f"{folder} already holds another recipe: {'; '.join(differences)}. Choose another folder (--out)."
        )
    return True


def open_run(folder, recipe):
    """The run folder, a pathlib.Path: created with its config.json, or one that `check_run` accepts."""
    folder = pathlib.Path(folder)
    known = check_run(folder, recipe)
    remove_leftovers(folder / "config.json")
    if not known or any(read_config(folder)["recipe"].get(place) != getattr(recipe, place) for place in PLACES):
        config = {"task": recipe.task, "recipe": _as_json(recipe), "versions": versions(), "commit": commit()}
        with written_aside(folder / "config.json") as aside:
            aside.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


def _as_json(recipe):
    """A recipe as it will be read back: tuples become lists."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def read_config(folder):
    """The config.json of a run folder, a dict with task, recipe, versions and commit."""
    path = pathlib.Path(folder) / "config.json"
    if not path.is_file():
        raise ValueError(
            f"{folder} is not a run folder: it has no config.json. Expected the folder that a training wrote."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        config["task"], config["recipe"].keys()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{path} cannot be read. Expected the JSON that a training wrote, with task and recipe."
        ) from None
    return config


def read_recipe(folder):
    """The recipe of a run folder."""
    config = read_config(folder)
    try:
        checks.known("task", config["task"], recipes.TASKS)
        features = config["recipe"]["features"]
        recipe = recipes.TASKS[config["task"]](**{**config["recipe"], "features": features and tuple(features)})
        for field in dataclasses.fields(recipe):
            if not checks.is_a(getattr(recipe, field.name), field.type):
                raise ValueError(f"{field.name} is {getattr(recipe, field.name)!r}")
        recipes.check_names(recipe)
        return recipe
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{folder}/config.json holds no recipe of this version ({error}). Train again, in another folder."
        ) from None


def read_history(folder):
    """The table in history.csv of a run, one row an epoch.

    Raises:
        ValueError: no such file, a damaged one, or one without the columns that every training writes.
    """
    path = pathlib.Path(folder) / "history.csv"
    try:
        history = pandas.read_csv(path)
        missing = [
            name
            for name in ("epoch", "step", "seconds", "seconds_per_step")
            if not pandas.api.types.is_numeric_dtype(history.get(name))
        ]
    except (OSError, ValueError) as error:  # pandas's errors of parsing are ValueErrors
        raise ValueError(
            f"Cannot read {path} ({' '.join(str(error).split())}). Expected the table that the training wrote: train"
            " again."
        ) from None
    if missing:
        raise ValueError(
            f"{path} has no numbers in {', '.join(missing)}. Expected the table that the training wrote: train again."
        )
    return history
