"""The scripts of train/ in a reduced form: each does what its docstring promises, on tiny data."""

import runpy

import pandas
import pytest
from entries import few_platelets
from places import ROOT

from deepsim_tf import recipes

TRAIN = ROOT / "train"
DATASET = "synthetic-platelet"
COUNT = {"train": 8, "val": 2, "test": 2}
TINY = {"features": (2, 4), "epochs": 1, "steps_per_epoch": 2, "batch_size": 2}


@pytest.fixture(scope="module", autouse=True)
def tiny():
    """The synthetic dataset with few small pairs, and presets of two steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.DATASETS, DATASET, few_platelets(COUNT, TINY))
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with the runs of segment.py and register.py."""
    folder = tmp_path_factory.mktemp("runs")
    run("segment.py", DATASET, "--out", folder / "segmentation")
    run(
        "register.py", DATASET, "--loss", "deepsim", "--extractor", folder / "segmentation", "--out", folder / "deepsim"
    )
    return folder


def run(script, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [script, *map(str, arguments)])
        runpy.run_path(str(TRAIN / script), run_name="__main__")


def test_segment_writes_a_run_folder(runs):
    assert {"config.json", "model.keras", "history.csv"} <= {path.name for path in (runs / "segmentation").iterdir()}


def test_register_writes_a_run_folder_and_its_evaluation(runs):
    written = {path.name for path in (runs / "deepsim").iterdir()}
    assert {
        "config.json",
        "model.keras",
        "history.csv",
        "pairs.csv",
        "summary.csv",
        "figures",
        "report.html",
    } <= written


def test_evaluate_writes_a_comparison(runs):
    run("evaluate.py", runs / "deepsim", "--split", "test", "--out", runs / "comparison")
    assert (runs / "comparison" / "summary.csv").read_text().splitlines()[1].startswith("identity,")


def test_reproduce_and_results_write_their_tables_and_figures(tmp_path):
    """Two losses with a weight each; then the Markdown of two such folders."""
    out = tmp_path / "reproduction"
    run("reproduce.py", DATASET, "--losses", "mse,deepsim", "--factors", "1", "--epochs", "1", "--out", out)
    written = {path.name for path in out.iterdir()}
    assert {
        "segmentation",
        "mse",
        "deepsim",
        "sweep.csv",
        "summary.csv",
        "noise.csv",
        "extractors.csv",
        "report.html",
    } <= written
    run("results.py", out, out, "--names", "one,two", "--out", tmp_path / "results")
    written = {path.name for path in (tmp_path / "results").iterdir()}
    assert {"tables.md", "figure3.png", "one_convergence.png", "two_smoothness.png", "two_noise.png"} <= written
    text = (tmp_path / "results" / "tables.md").read_text()
    summary = pandas.read_csv(out / "summary.csv").set_index("method")
    for method in ("identity", "MSE", "DeepSim"):
        assert (
            sum(
                f"{summary.loc[method, 'dice']:.4f}" in line
                for line in text.splitlines()
                if line.startswith(f"| {method} |")
            )
            == 2
        )


def test_demo_trains_all_losses_and_compares_them(tmp_path):
    run("demo.py", "--reduced", "--out", tmp_path / "demo")
    written = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"segmentation", "mse", "ncc", "deepsim", "pairs.csv", "summary.csv", "figures", "report.html"} <= written
    figures = {path.name for path in (tmp_path / "demo" / "figures").glob("*.png")}
    assert {"convergence.png", "dice.png", "example_deepsim.png", "example_methods.png"} <= figures
