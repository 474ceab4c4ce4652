"""docs/extending.md: each worked example runs, is short, and is known to the command, the recipes and the solvers."""

import re

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest
from places import ROOT
from scipy import ndimage

from deepsim_tf import recipes
from deepsim_tf.cli import main
from deepsim_tf.metrics.table import MEASURES, heading

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^## An? ([\w ]+)\n.*?```python\n(.*?)```", PAGE, re.S | re.M))


@pytest.fixture(scope="module")
def names():
    """What the examples define, run in the page's order; the tables are as before afterwards."""
    tables = recipes.LOSSES, MEASURES, recipes.DATASETS, recipes.EXTRACTORS
    before = [dict(table) for table in tables]
    found = {}
    for text in EXAMPLES.values():
        exec(compile(text, "extending.md", "exec"), found)
    yield found
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)


def test_every_kind_has_an_example_of_at_most_twenty_lines():
    assert list(EXAMPLES) == ["loss", "measure", "data set", "extractor", "solver"]
    for name, text in EXAMPLES.items():
        lines = [line for line in text.splitlines() if line.strip() and not re.match("(import|from) ", line)]
        assert len(lines) <= 20, name


def test_the_loss_is_its_formula_and_survives_a_file(names, registration, pair, tmp_path):
    (images, _), loss = pair((16, 20)), names["Charbonnier"](eps=0.1)
    fixed, warped = images["fixed"].astype(float), images["moving"].astype(float)
    expected = np.mean(np.sqrt((fixed - warped) ** 2 + 0.01))
    assert float(loss(fixed, warped)) == pytest.approx(expected, rel=1e-6)
    model = registration(loss, shape=(16, 20))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras").objective().similarity[0][0]
    assert again.eps == 0.1 and float(again(fixed, warped)) == pytest.approx(expected, rel=1e-6)


def test_the_measure_is_a_column_with_its_unit(names):
    def shift(images):
        return {"flow": np.broadcast_to(np.float32([3, 4]), (*images["fixed"].shape[:-1], 2))}

    images = names["drift"](None, "test")
    coarse = images.derived(lambda i: images[i], spacing=(2, 2))
    assert ds.evaluate(shift, coarse, verbose=0)["displacement"].tolist() == [10.0] * 3  # 2 x 5 voxels
    assert heading("displacement") == "Displacement (mm)"


def test_the_command_knows_the_data_set_the_loss_and_their_options(names, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "drift", ".", "--verbose", "0"]) == 0
    assert "4 images of 48 x 48, 3 pairs, 2 classes" in capsys.readouterr().out
    arguments = ["train-registration", "--dataset", "drift", "--verbose", "0"]
    assert main([*arguments, "--loss", "charbonnier", "--loss-option", "eps=0.05", "--out", "run"]) == 0
    assert keras.models.load_model("run/model.keras").objective().similarity[0][0].eps == 0.05
    capsys.readouterr()
    assert main([*arguments, "--loss", "charbonnier", "--loss-option", "epsilon=1", "--out", "other"]) == 2
    assert "eps" in capsys.readouterr().err
    assert main([*arguments, "--loss", "deepsim-edges", "--out", "edges"]) == 0


def test_the_extractor_gives_sobels_differences(names, texture):
    image = texture((12, 15))[0]
    found = np.asarray(names["edges"]()(image[None])["level_0"])[0]
    for channel, axis in enumerate((1, 0)):
        expected = ndimage.sobel(image[..., 0].astype(float), axis, mode="constant")
        np.testing.assert_allclose(found[1:-1, 1:-1, channel], expected[1:-1, 1:-1], atol=1e-5)


def test_the_solver_finds_the_drift(names):
    moving, fixed, *_ = names["images"].pair(0)
    flow = ds.register(names["PhaseCorrelation"](), moving, fixed)["flow"]
    assert np.abs(flow - [0, 3]).max() < 0.3  # each image shows the tissue three pixels further along
    assert names["table"]["dice"].mean() > ds.evaluate(None, names["images"], verbose=0)["dice"].mean() + 0.05
