"""The report holds every number, nothing outside the file, and no markup from its inputs."""

import re

import pandas as pd
import pytest
from matplotlib.image import imsave

from deepsim_tf import report

NAN = float("nan")


@pytest.fixture
def inputs(tmp_path):
    summary = pd.DataFrame(
        {
            "method": ["identity", "MSE", "DeepSim"],
            "pairs": [54, 54, 54],
            "dice": [0.9531, 0.9653, 0.9679],
            "dice_cell": [0.9161, 0.9384, 0.9432],
            "folds": [0.0, 0.00012, 1e-7],
            "sd_log_jacobian": [0.0, 0.2119, 0.1194],
            "seconds_per_step": [NAN, 0.0812, 0.15],
        }
    )
    imsave(tmp_path / "box.png", [[0.0, 1.0]])
    config = {"data": "phc_u373", "model": {"features": [64, 128, 256]}, "output": tmp_path / "run"}
    pictures = {"Dice of the test pairs.": tmp_path / "box.png"}
    return {"title": "PhC-U373", "summary": summary, "figures": pictures, "config": config, "notes": ["Seed 0."]}


def cells(page):
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr>(.*)</tr>", page)]


def test_table_has_each_number_in_its_unit(tmp_path, inputs):
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert cells(page) == [
        ["identity", "54", "0.953", "0.916", "0.000", "0.000", "–"],
        ["MSE", "54", "0.965", "0.938", "0.012", "0.212", "0.0812"],
        ["DeepSim", "54", "0.968", "0.943", "&lt; 0.001", "0.119", "0.150"],
    ]
    headings = re.findall(r'<th scope="col" aria-sort="none"><button type="button">([^<]*)<', page)
    assert headings == ["Method", "Pairs", "Dice", "Dice cell", "Folds (%)", "SD log|J|", "s / step"]


def test_the_highest_dice_is_bold_also_when_methods_tie_in_print(tmp_path, inputs):
    inputs["summary"]["dice"] = [0.95, 0.9681, 0.9679]
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert re.findall(r'class="best">([^<]*)<', page) == ["0.968", "0.968", "0.943"]


def test_columns_are_sorted_by_the_full_number(tmp_path, inputs):
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert 'data-value="1e-07">&lt; 0.001<' in page
    assert 'data-value="">–<' in page  # the script puts empty values last


def test_nothing_is_loaded_from_outside_the_file(tmp_path, inputs):
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert not re.search(r"https?://|@import|url\(|<link|<script src", page)
    assert re.findall(r'src="(.{22})', page) == ["data:image/png;base64,"]


def test_recipe_and_notes_are_shown_as_text(tmp_path, inputs):
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert "&#34;data&#34;: &#34;phc_u373&#34;" in page
    assert "<p>Seed 0.</p>" in page
    assert "<details>" in page


def test_markup_in_the_inputs_is_escaped(tmp_path, inputs):
    evil = "<script>alert(1)</script>"
    inputs |= {"title": evil, "notes": [evil], "config": {evil: evil}, "figures": {evil: next(iter(inputs["figures"].values()))}}
    inputs["summary"]["method"] = evil
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert evil not in page
    assert page.count("<script>") == 1  # the report's own


def test_a_new_report_replaces_the_old_one_and_leaves_no_other_file(tmp_path, inputs):
    folder = tmp_path / "run"
    for title in ("first", "second"):
        path = report.write_report(folder / "report.html", **{**inputs, "title": title})
    assert "<h1>second</h1>" in path.read_text("utf-8")
    assert list(folder.iterdir()) == [path]


def test_a_missing_column_is_named(tmp_path, inputs):
    inputs["summary"] = inputs["summary"].drop(columns="dice")
    with pytest.raises(ValueError, match="no column 'dice'.*Received: method, pairs, dice_cell"):
        report.write_report(tmp_path / "report.html", **inputs)


def test_a_missing_or_wrong_picture_is_named(tmp_path, inputs):
    with pytest.raises(ValueError, match="gone.png cannot go into the report.*no file"):
        report.write_report(tmp_path / "report.html", **{**inputs, "figures": {"Gone.": tmp_path / "gone.png"}})
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match="text.png cannot go into the report.*another kind of file"):
        report.write_report(tmp_path / "report.html", **{**inputs, "figures": {"Text.": tmp_path / "text.png"}})
