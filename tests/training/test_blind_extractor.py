"""A training says at its beginning that its similarity does not react when the training images move."""

import backbones
from entries import few_platelets

import deepsim_tf as ds
from deepsim_tf import recipes, training


def test_a_blind_extractor_is_reported_on_stderr_as_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(recipes.DATASETS, "synthetic-platelet", few_platelets({"train": 4, "val": 2, "test": 2}))
    path = tmp_path / "extractor.keras"
    backbones.scaling_extractor().save(path)
    changes = {"features": (2,), "epochs": 1, "steps_per_epoch": 1, "batch_size": 2, "extractor": str(path)}
    recipe = recipes.registration("synthetic-platelet", "cpu", "deepsim", **changes)
    training.train_registration(recipe, tmp_path / "run", verbose=0)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("deepsim: ")]
    assert "DeepSim hardly reacts when an image moves" in line and line.endswith("was trained on.")


def test_workers_other_than_the_chief_say_nothing(capsys, pair, registration):
    model = registration(ds.losses.DeepSim(backbones.scaling_extractor()))
    images = [(image, None) for image in pair()[0]["fixed"]]
    training.train._report_reaction(model, images, report=False)
    assert not capsys.readouterr().err
    model.fit(pair()[0], batch_size=2, verbose=0)  # and `fit` does not warn
