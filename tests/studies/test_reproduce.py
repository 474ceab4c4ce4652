"""`reproduce`: every step of the comparison on tiny data, and its restart."""

import importlib

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pandas
import pytest
from entries import few_platelets

from deepsim_tf import recipes, studies, training
from deepsim_tf.cli import main
from deepsim_tf.evaluation import noise

DATASET = "synthetic-platelet"
TINY = {"features": (2, 4), "epochs": 1, "steps_per_epoch": 2, "batch_size": 2}
COUNT = {"train": 4, "val": 6}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder of a reproduction with two losses and two weights each."""
    folder = tmp_path_factory.mktemp("reproduce")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.DATASETS, DATASET, few_platelets(COUNT, TINY))
        study = "--losses ncc-sup,deepsim-ae --factors 1,4 --extensions 0 --noise 0,0.3 --extractor-epochs 2"
        command = f"reproduce --dataset {DATASET} {study} --out {folder} --verbose 0"
        assert main(command.split()) == 0
        before = {path: path.stat().st_mtime_ns for path in folder.glob("*/**/model.keras")}
        # Once more: nothing is trained again, up to the comparison, which is left out here.
        patch.setattr(
            importlib.import_module("deepsim_tf.studies.reproduce"), "evaluate_runs", lambda *args, **kwargs: None
        )
        patch.setattr(keras.Model, "fit", lambda *args, **kwargs: pytest.fail("trained again"))
        assert main(command.split()) == 0
        assert (
            before == {path: path.stat().st_mtime_ns for path in folder.glob("*/**/model.keras")} and len(before) == 5
        )
        yield folder


def test_it_writes_every_table_and_figure(out):
    files = ["pairs", "summary", "statistics", "sweep", "extractors", "noise"]
    assert all((out / f"{name}.csv").is_file() for name in files)
    figures = {path.name for path in (out / "figures").glob("*.png")}
    expected = (
        "convergence",
        "dice",
        "dice_per_class",
        "smoothness",
        "noise",
        "example_methods",
        "similarity_deepsim_ae",
        "features_deepsim_ae",
    )
    assert {f"{name}.png" for name in expected} <= figures
    assert (out / "report.html").read_text().count("<table") >= 4


def test_the_sweep_holds_every_weight_and_chooses_the_best_on_validation_pairs(out):
    table = pandas.read_csv(out / "sweep.csv")
    weights = {method: rows["weight"].tolist() for method, rows in table.groupby("method")}
    assert weights == {"NCC_sup": [0.5, 2.0], "DeepSim_ae": [1.0, 4.0]}
    for _, rows in table.groupby("method"):
        assert rows.loc[rows["chosen"], "dice"].tolist() == [rows["dice"].max()]
    extractors = pandas.read_csv(out / "extractors.csv")
    assert list(extractors["extractor"]) == ["autoencoder"] and list(extractors["updates"]) == [
        4
    ]  # 2 epochs, the registrations 1
    assert pandas.read_csv(out / "noise.csv")["sigma"].drop_duplicates().tolist() == [0.0, 0.3]


def test_the_summary_has_intervals_and_the_dice_at_equal_smoothness(out):
    summary = pandas.read_csv(out / "summary.csv").set_index("method")
    assert list(summary.index) == ["identity", "NCC_sup", "DeepSim_ae"]
    assert (summary["dice_low"] <= summary["dice"]).all() and (summary["dice"] <= summary["dice_high"]).all()
    chosen = pandas.read_csv(out / "sweep.csv").query("chosen")
    reference = studies.common_smoothness(pandas.read_csv(out / "sweep.csv"))
    for method, points in pandas.read_csv(out / "sweep.csv").groupby("method"):
        expected = studies.matched_dice(points, reference)
        np.testing.assert_allclose(summary.loc[method, "dice_matched"], expected)
    assert summary["dice_matched"].drop("identity").notna().any() and len(chosen) == 2


def test_methods_are_compared_at_a_smoothness_that_most_sweeps_reach():
    def swept(**smoothness):
        rows = [
            {"method": m, "sd_log_jacobian": sd, "chosen": k == 0}
            for m, sds in smoothness.items()
            for k, sd in enumerate(sds)
        ]
        return pandas.DataFrame(rows)

    assert (
        studies.common_smoothness(swept(a=[0.3, 0.1, 0.5], b=[0.4, 0.2, 0.6])) == 0.3
    )  # of the smoothest chosen run, within both
    assert studies.common_smoothness(swept(a=[0.1, 0.5], b=[0.4, 0.2])) == 0.2  # b reaches no smoother
    assert studies.common_smoothness(swept(a=[0.1, 0.2], b=[0.5, 0.4])) == 0.1  # no overlap
    # c hardly moves with any weight: a and b are compared all the same
    assert studies.common_smoothness(swept(a=[0.6, 0.3], b=[0.2, 0.5], c=[0.01, 0.02])) == 0.3


@pytest.mark.parametrize(
    ("dice_of", "factors", "extensions", "expected"),
    [
        (lambda weight: -weight, (1, 2), 2, [0.01, 0.02, 0.04, 0.08]),  # the lower the better
        (lambda weight: weight, (1, 2), 1, [0.04, 0.08, 0.16]),
        (lambda weight: weight, (1, 2), 0, [0.04, 0.08]),
        (lambda weight: -abs(weight - 0.16), (1, 2), 5, [0.04, 0.08, 0.16, 0.32]),  # stops beyond the best
        (lambda weight: weight, (1,), 2, [0.04]),  # no ratio to go on by
        (lambda weight: float("nan"), (1, 2), 2, [0.04, 0.08]),  # no labels
    ],
)
def test_a_sweep_goes_on_beyond_an_end_that_is_its_best(dice_of, factors, extensions, expected, tmp_path, monkeypatch):
    monkeypatch.setitem(recipes.DATASETS[DATASET].weights, "mse", 0.04)
    monkeypatch.setattr(training, "train_registration", lambda *args, **kwargs: None)

    def measured(folder, recipe, verbose):
        return pandas.DataFrame({"dice": [dice_of(recipe.weight)], "sd_log_jacobian": 0.1, "folds": 0.0})

    monkeypatch.setattr(importlib.import_module("deepsim_tf.studies.sweep"), "_measured", measured)
    table = studies.sweep(DATASET, "cpu", "mse", tmp_path, factors=factors, extensions=extensions, verbose=0)
    assert table["weight"].tolist() == expected and table["chosen"].sum() == 1
    assert table["dice"].isna().all() or table.loc[table["chosen"], "dice"].tolist() == [table["dice"].max()]


def test_dice_at_equal_smoothness_is_interpolated_and_never_extrapolated():
    table = pandas.DataFrame({"sd_log_jacobian": [0.3, 0.1], "dice": [0.9, 0.7]})
    assert studies.matched_dice(table, 0.2) == pytest.approx(0.8)
    assert np.isnan(studies.matched_dice(table, 0.05)) and np.isnan(studies.matched_dice(table, 0.4))


def test_noise_is_of_the_given_size_and_the_same_for_every_model():
    images = ds.data.synthetic("cells", "val", size=(64, 64), count=2)
    noisy = noise.with_noise(images, 0.2)
    difference = noisy[1][0] - images[1][0]
    assert abs(difference.std() - 0.2) < 0.01 and abs(difference.mean()) < 0.01
    np.testing.assert_array_equal(noisy[1][0], noisy[1][0])
    assert not np.array_equal(difference, noisy[0][0] - images[0][0])
    np.testing.assert_array_equal(noisy[1][1], images[1][1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--losses mse,ssim", "Unknown loss 'ssim'. Available: mse, ncc, ncc-sup,"),
        ("--factors a", "factors must be numbers, as in 0.25,1,4. Received: factors=a."),
    ],
)
def test_wrong_arguments_are_one_line(arguments, words, capsys, tmp_path):
    assert main(f"reproduce --dataset {DATASET} --out {tmp_path / 'r'} {arguments}".split()) == 2
    error = capsys.readouterr().err
    assert words in error and len(error.splitlines()) == 1 and not (tmp_path / "r").exists()
