"""The scripts of train/ in a reduced form: each does what its docstring promises, on tiny data."""

import ast
import re
import runpy
import shlex

import click
import numpy as np
import pandas
import pytest
from entries import few_platelets
from places import ROOT

from deepsim_tf import recipes
from deepsim_tf.cli import CONTEXT, cli
from deepsim_tf.training.runs import read_recipe

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
    """A folder with the runs of train_segmentation.py and train_registration.py."""
    folder = tmp_path_factory.mktemp("runs")
    run("train_segmentation.py", "--dataset", DATASET, "--out", folder / "segmentation")
    loss = ["--loss", "deepsim", "--extractor", folder / "segmentation"]
    run("train_registration.py", "--dataset", DATASET, *loss, "--out", folder / "deepsim")
    return folder


def run(script, *arguments):
    """Run a script; one of a command ends as the command does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [script, *map(str, arguments)])
        if script == "results.py":
            runpy.run_path(str(TRAIN / script), run_name="__main__")
            return
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TRAIN / script), run_name="__main__")
        assert end.value.code == 0


def test_every_stage_has_a_script_with_every_option_of_its_command():
    scripts = {path.stem.replace("_", "-"): path for path in TRAIN.glob("*.py")}
    of_no_stage = {"download", "prepare", "check", "warp"}
    assert set(scripts) == set(cli.commands) - of_no_stage | {"results"}
    for name, path in scripts.items():
        if name != "results":
            command = runpy.run_path(str(path))["main"].command
            assert [option.opts for option in command.params] == [option.opts for option in cli.commands[name].params]


@pytest.mark.parametrize("script", sorted(path.name for path in TRAIN.glob("*.py")))
def test_a_script_opens_with_its_promise_and_a_call_that_parses(script):
    text = ast.get_docstring(ast.parse((TRAIN / script).read_text(encoding="utf-8")))
    assert "Writes:" in text
    if script == "results.py":
        return
    assert "Data:" in text and "Time:" in text and "Expect" in text
    call = re.search(rf"    python train/{script} ((?:.|\\\n)*)", text)[1].replace("\\\n", " ")
    name = script.removesuffix(".py").replace("_", "-")
    cli.commands[name].make_context(name, shlex.split(call), parent=click.Context(cli, **CONTEXT))


def test_a_script_refuses_in_one_line_as_the_command_does(capsys):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr("sys.argv", ["train_registration.py", "--dataset", DATASET, "--loss", "ssim"])
        runpy.run_path(str(TRAIN / "train_registration.py"), run_name="__main__")
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("deepsim: Unknown loss 'ssim'. Available: mse, ncc,")


def test_train_segmentation_writes_a_run_folder(runs):
    assert {"config.json", "model.keras", "history.csv"} <= {path.name for path in (runs / "segmentation").iterdir()}


def test_train_autoencoder_writes_a_run_folder(tmp_path, capsys):
    run("train_autoencoder.py", "--dataset", DATASET, "--out", tmp_path / "autoencoder", "--verbose", "0")
    assert (tmp_path / "autoencoder" / "model.keras").is_file()
    assert "its encoder has level_0, level_1" in capsys.readouterr().out


def test_train_registration_writes_a_run_folder_and_its_evaluation(runs):
    written = {path.name for path in (runs / "deepsim").iterdir()}
    assert {"config.json", "model.keras", "history.csv"} <= written
    assert {"pairs.csv", "summary.csv", "figures", "report.html"} <= written


def test_evaluate_writes_a_comparison(runs):
    run("evaluate.py", runs / "deepsim", "--split", "test", "--out", runs / "comparison")
    assert (runs / "comparison" / "summary.csv").read_text().splitlines()[1].startswith("identity,")


def test_register_writes_the_warped_image(runs, tmp_path):
    moving, fixed = (recipes.DATASETS[DATASET].load(None, "test")[k][0] for k in (0, 1))
    np.save(tmp_path / "moving.npy", moving[..., 0])
    np.save(tmp_path / "fixed.npy", fixed[..., 0])
    files = ["--moving", tmp_path / "moving.npy", "--fixed", tmp_path / "fixed.npy"]
    run("register.py", "--model", runs / "deepsim", *files, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "registration.json").is_file()
    run("register.py", *files, "--transform", "translation", "--out", tmp_path / "alone")
    assert "PairwiseOptimizer" in (tmp_path / "alone" / "registration.json").read_text()


def test_export_writes_a_version(runs, tmp_path):
    run("export.py", "--model", runs / "deepsim", "--out", tmp_path / "served")
    assert (tmp_path / "served" / "1" / "saved_model.pb").is_file()


def test_sweep_writes_a_row_a_weight(tmp_path):
    weights = ["--loss", "ncc", "--loss-option", "window=5", "--regularizer", "bending", "--factors", "1"]
    run("sweep.py", "--dataset", DATASET, *weights, "--out", tmp_path / "sweep", "--verbose", "0")
    table = pandas.read_csv(tmp_path / "sweep" / "sweep.csv")
    assert table["weight"].tolist() == [0.5] and table["chosen"].tolist() == [True]
    recipe = read_recipe(tmp_path / "sweep" / "lambda_0.5")
    assert (recipe.loss_options, recipe.regularizer) == ({"window": 5}, "bending")


def test_reproduce_and_results_write_their_tables_and_figures(tmp_path):
    """Two losses with a weight each; then the Markdown of two such folders."""
    out = tmp_path / "reproduction"
    run(
        "reproduce.py", "--dataset", DATASET, "--losses", "mse,deepsim", "--factors", "1", "--epochs", "1", "--out", out
    )
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
