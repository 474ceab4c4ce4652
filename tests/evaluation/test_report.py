"""The report holds every number and picture, nothing outside the file, and no markup from its inputs."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread, imsave

from deepsim_tf.evaluation import report

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
        ["identity", "54", "0.9531", "0.9161", "0.000", "0.000", "–"],
        ["MSE", "54", "0.9653", "0.9384", "0.012", "0.212", "0.0812"],
        ["DeepSim", "54", "0.9679", "0.9432", "&lt; 0.001", "0.119", "0.150"],
    ]
    headings = re.findall(r'<th scope="col" aria-sort="none"[^>]*><button type="button">([^<]*)<', page)
    assert headings == ["Method", "Pairs", "Dice", "Dice cell", "Folds (%)", "SD log|J|", "s / step"]


def test_the_highest_dice_is_bold_also_when_methods_tie_in_print(tmp_path, inputs):
    inputs["summary"]["dice"] = [0.95, 0.96814, 0.96806]
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert re.findall(r'class="best">([^<]*)<', page) == ["0.9681", "0.9681", "0.9432"]


def test_columns_are_sorted_by_the_full_number(tmp_path, inputs):
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert 'data-value="1e-07">&lt; 0.001<' in page
    assert 'data-value="">–<' in page  # the script puts empty values last


def test_an_interval_stands_beside_its_value_in_one_column(tmp_path, inputs):
    inputs["summary"].insert(3, "dice_low", [0.9412, 0.9555, NAN])
    inputs["summary"].insert(4, "dice_high", [0.9649, 0.9751, NAN])
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert '<td data-value="0.9531">0.9531 <span class="interval">0.9412–0.9649</span></td>' in page
    assert '<td data-value="0.9679" class="best">0.9679</td>' in page  # without an interval
    assert "95 % interval" in page and "Dice low" not in page and "Dice high" not in page


def test_many_classes_go_into_a_collapsed_table_with_a_row_a_class(tmp_path, inputs):
    for k in range(9):
        inputs["summary"][f"dice_{k}"] = [0.5, 0.6, 0.7 - k / 10]
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    main, folded = re.findall(r"<table.*?</table>", page, re.S)
    assert "Dice 1" not in main and "0.9653" in main
    assert re.findall(r"<button[^>]*>([^<]*)<", folded) == ["Class", "identity", "MSE", "DeepSim"]
    # after "cell"
    assert cells(folded)[1:3] == [["0", "0.5000", "0.6000", "0.7000"], ["1", "0.5000", "0.6000", "0.6000"]]
    assert re.findall(r'"best">([^<]*)<', folded)[1:5] == [
        "0.7000",
        "0.6000",
        "0.6000",
        "0.6000",
    ]  # of the row; classes 1 ties
    assert re.search(r"<details>\s*<summary>Summary: Dice of each class</summary>", page)


def test_further_tables_follow_under_their_captions(tmp_path, inputs):
    numbers = {
        "mean_difference": [0.0123, -0.0123],
        "cohens_d": [0.5, NAN],
        "p": [1e-5, 0.98765],
        "p_holm": [2e-5, NAN],
        "note": ["", "few"],
    }
    wilcoxon = pd.DataFrame({"method": ["MSE", "NCC"], "other": ["NCC", "MSE"], "pairs": [54, 4], **numbers})
    sweep = pd.DataFrame({"method": ["MSE"], "weight": [0.005], "chosen": [True], "ndv": [0.25], "assd": [0.71]})
    page = report.write_report(
        tmp_path / "report.html", **inputs, tables={"Wilcoxon": wilcoxon, "Sweep": sweep}
    ).read_text("utf-8")
    assert re.findall(r"<h2[^>]*>([^<]*)<", page) == ["Summary", "Wilcoxon", "Sweep", "Figures"]
    assert cells(page)[3:] == [
        ["MSE", "NCC", "54", "+0.0123", "0.500", "&lt; 0.001", "&lt; 0.001", ""],
        ["NCC", "MSE", "4", "−0.0123", "–", "0.988", "–", "few"],
        ["MSE", "0.005", "yes", "0.250", "0.710"],
    ]
    headings = re.findall(r"<button[^>]*>([^<]*)<", page)[7:]
    assert headings[2:7] == ["Pairs", "Mean difference", "Cohen&#39;s d", "p", "p (Holm)"]
    assert headings[8:] == ["Method", "λ", "Chosen", "NDV (%)", "ASSD (mm)"]


def test_the_pictures_of_a_pair_are_the_images_in_one_window(tmp_path, inputs):
    moving, fixed = np.zeros((6, 8)), np.zeros((6, 8))
    moving[1:3, 2:6], fixed[3:5, 2:6] = 1, 1
    pairs = [{"name": "a to b", "moving": moving[..., None], "warped": {"MSE": 0.5 * fixed}, "fixed": fixed}]
    page = report.write_report(tmp_path / "report.html", **{**inputs, "figures": {}}, pairs=pairs).read_text("utf-8")
    found = [
        imread(io.BytesIO(base64.b64decode(data))) for data in re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    ]
    np.testing.assert_allclose(found, [moving, 0.5 * fixed, fixed], atol=0.5 / 255)
    assert re.findall(r'alt="([^"]*)"', page) == ["moving image", "moving image, warped by MSE", "fixed image"]


def test_a_volume_is_shown_by_slices_along_each_axis_and_starts_in_the_middle(tmp_path, inputs):
    volume = np.arange(12 * 8 * 8.0).reshape(12, 8, 8)
    pairs = [{"name": "a to b", "moving": volume, "warped": {"MSE": volume, "NCC": volume}, "fixed": volume}]
    page = report.write_report(tmp_path / "report.html", **{**inputs, "figures": {}}, pairs=pairs).read_text("utf-8")
    slices = re.findall(r'data-slice="axis (\d), slice (\d+) of (\d+)"', page)
    assert slices == [("1", k, "12") for k in ("3", "5", "7", "9", "11")] + [
        (axis, k, "8") for axis in "23" for k in "357"
    ]
    assert re.findall(r'data-slice="([^"]*)" data-first>', page) == ["axis 1, slice 7 of 12"]
    assert page.count("data:image/png") == 11 * 4


def test_large_images_are_reduced(tmp_path, inputs):
    image = np.random.default_rng(0).random((600, 1024))
    pairs = [{"name": "a", "moving": image, "warped": {"MSE": image}, "fixed": image}]
    page = report.write_report(tmp_path / "report.html", **{**inputs, "figures": {}}, pairs=pairs).read_text("utf-8")
    first = re.search(r'src="data:image/png;base64,([^"]*)"', page)[1]
    assert imread(io.BytesIO(base64.b64decode(first))).shape == (300, 512)


def test_a_report_without_pairs_has_no_slider(tmp_path, inputs):
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert 'type="range"' not in page and "<section" not in page


def test_nothing_is_loaded_from_outside_the_file(tmp_path, inputs):
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'" in page
    assert not re.search(r"https?://|@import|url\(|<link|<script src", page)
    assert re.findall(r'src="(.{22})', page) == ["data:image/png;base64,"]


def test_recipe_and_notes_are_shown_as_text(tmp_path, inputs):
    page = report.write_report(tmp_path / "report.html", **inputs).read_text("utf-8")
    assert "&#34;data&#34;: &#34;phc_u373&#34;" in page
    assert "<p>Seed 0.</p>" in page
    assert "<details>" in page


def test_markup_in_the_inputs_is_escaped(tmp_path, inputs):
    evil = "<script>alert(1)</script>"
    inputs |= {
        "title": evil,
        "notes": [evil],
        "config": {evil: evil},
        "figures": {evil: next(iter(inputs["figures"].values()))},
    }
    inputs["summary"]["method"] = evil
    image = np.eye(4)
    inputs["pairs"] = [{"name": f'"{evil}', "moving": image, "warped": {f'"{evil}': image}, "fixed": image}]
    inputs["tables"] = {evil: pd.DataFrame({evil: [evil]})}
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


def test_pairs_that_cannot_be_shown_are_named(tmp_path, inputs):
    image = np.zeros((6, 8))
    good = {"name": "a to b", "moving": image, "warped": {"MSE": image}, "fixed": image}
    for change, message in (
        (
            {"warped": {"MSE": image[:4]}},
            r"warped by MSE of the pair 'a to b' needs the grid of the fixed.* Expected: \(6, 8\).*Received: \(4, 8\)",
        ),
        ({"fixed": image[0]}, r"fixed of the pair 'a to b' cannot be drawn. Expected: \(h, w, chann.*Received: \(8,\)"),
        ({"warped": {}}, "Expected: name, moving, fixed, and warped images by method. Received: .*warped by no method"),
    ):
        with pytest.raises(ValueError, match=message):
            report.write_report(tmp_path / "report.html", **inputs, pairs=[{**good, **change}])
