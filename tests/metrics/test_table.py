"""The table of measures: how numbers are taken, shown and compared, and what one more entry changes."""

import deepsim_tf as ds  # isort: skip
import numpy as np
import pandas
import pytest

from deepsim_tf import metrics
from deepsim_tf.evaluation.compare import print_table
from deepsim_tf.evaluation.measure import summarise
from deepsim_tf.evaluation.report import write_report
from deepsim_tf.metrics import table
from deepsim_tf.metrics.table import MEASURES, Case, Measure, measured

SHAPE = (8, 9)


@pytest.fixture
def case(rng):
    """A pair with labels of three classes, a random flow and two landmarks."""
    labels = [rng.integers(0, 3, SHAPE) for _ in range(2)]
    flow = rng.normal(0, 0.6, (*SHAPE, 2))
    points = rng.uniform(1, 6, (2, 2, 2))
    return Case(
        flow=flow,
        spacing=(0.5, 2.0),
        classes=3,
        fixed_labels=labels[0],
        warped_labels=labels[1],
        landmarks=(points[0], points[1], (0.5, 2.0)),
    )


def test_every_measure_is_its_function_of_the_pair(case):
    found = measured(case)
    dice = [
        2
        * ((case.fixed_labels == c) & (case.warped_labels == c)).sum()
        / ((case.fixed_labels == c).sum() + (case.warped_labels == c).sum())
        for c in range(3)
    ]
    np.testing.assert_allclose([found[f"dice_{c}"] for c in range(3)], dice)
    surfaces = [
        getattr(metrics, name)(case.fixed_labels, case.warped_labels, 3, spacing=(0.5, 2.0))[1:].mean()
        for name in ("hausdorff95", "surface_distance")
    ]
    moving, fixed, spacing = case.landmarks
    expected = {
        "dice": np.mean(dice),
        "accuracy": np.mean(case.fixed_labels == case.warped_labels),
        "hd95": surfaces[0],
        "assd": surfaces[1],
        "tre": metrics.target_registration_error(case.flow, fixed, moving, spacing=spacing).mean(),
        "folds": np.mean(metrics.jacobian_determinant(case.flow) <= 0),
        "sd_log_jacobian": metrics.sd_log_jacobian(case.flow),
        "ndv": metrics.non_diffeomorphic_volume(case.flow),
    }
    assert set(expected) == set(MEASURES)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, err_msg=name)
    assert 0 < found["folds"] < 1  # the random flow folds


def test_what_compares_labels_is_nan_without_them_and_landmarks_have_no_column(case):
    bare = measured(Case(flow=case.flow))
    assert [name for name, value in bare.items() if np.isnan(value)] == ["dice", "accuracy", "hd95", "assd"]
    assert list(bare) == ["dice", "accuracy", "hd95", "assd", "folds", "sd_log_jacobian", "ndv"]
    assert set(measured(case)) - set(measured(case, quick=True)) == {"hd95", "assd", "ndv"}


@pytest.mark.parametrize(
    ("column", "value", "unit", "shown"),
    [
        ("dice", 0.96531, "mm", "0.9653"),
        ("dice_3", 0.5, "mm", "0.5000"),
        ("dice", 0.00001, "mm", "< 0.0001"),
        ("folds", 0.00012, "mm", "0.012"),
        ("folds", 1e-7, "mm", "< 0.001"),
        ("folds", 0.0, "mm", "0.000"),
        ("hd95", 12.345, "mm", "12.3"),
        ("hd95", 0.0175, "µm", "17.5"),
        ("hd95", 3.0, "voxels", "3"),
        ("ndv", 0.25, "mm", "0.250"),
        ("weight", 0.005, "mm", "0.005"),
        ("p_holm", 2e-5, "mm", "< 0.001"),
        ("mean_difference", 0.0123, "mm", "+0.0123"),
        ("mean_difference", -0.0123, "mm", "-0.0123"),
        ("updates", 1200, "mm", "1,200"),
    ],
)
def test_a_number_is_shown_in_its_unit_and_with_its_digits(column, value, unit, shown):
    assert table.text(column, value, unit) == shown


def test_a_heading_has_the_unit_of_the_data_set():
    assert [table.heading("hd95", unit) for unit in ("mm", "µm", "voxels")] == [
        "HD95 (mm)",
        "HD95 (µm)",
        "HD95 (voxels)",
    ]
    assert table.heading("folds", "µm") == "Folds (%)" and table.heading("dice_cell") == "Dice cell"
    assert table.heading("something_new") == "Something new"


def test_the_direction_of_every_measure_is_known():
    better = {name: table.direction(name) for name in MEASURES}
    assert {name for name, way in better.items() if way == "higher"} == {"dice", "accuracy"}
    with pytest.raises(
        ValueError, match="Which way 'weight' is better is not known. Say better=, or take one of: dice,"
    ):
        table.direction("weight")


def test_one_entry_more_is_measured_tabled_reported_and_printed(monkeypatch, tmp_path, capsys):
    entry = Measure(
        heading="Largest step",
        of=lambda case: np.linalg.norm(case.flow, axis=-1).max(),
        unit="mm",
        better="lower",
        brief=True,
    )
    monkeypatch.setitem(MEASURES, "largest", entry)
    images = ds.data.synthetic("cells", "val", size=(32, 32), count=2)
    rows = ds.evaluate(lambda pair: {"flow": np.full((1, 32, 32, 2), 3.0)}, images, quick=True, verbose=0)
    np.testing.assert_allclose(rows["largest"], 18**0.5)
    summary = summarise(pandas.concat([rows.assign(method="shift")]))
    report = write_report(tmp_path / "r.html", title="", summary=summary, figures={}, config={}, unit="voxels")
    assert "Largest step (voxels)" in report.read_text("utf-8") and ">4.24<" in report.read_text("utf-8")
    print_table(summary, "voxels")
    assert "Largest" in capsys.readouterr().out
