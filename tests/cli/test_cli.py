"""The command deepsim from end to end, on a dataset of a few small pairs."""

import deepsim_tf as ds  # isort: skip
import json

import keras
import numpy as np
import pandas
import pytest
from entries import smaller

from deepsim_tf import recipes
from deepsim_tf.cli import main

COUNT = {"train": 4, "val": 2, "test": 2}
PRESET = {"features": (2, 4), "batch_size": 2, "learning_rate": 1e-3, "steps_per_epoch": 2, "epochs": 2}


def images(split):
    return ds.data.synthetic("platelet", split, size=(32, 32), count=COUNT[split])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of two runs, segmentation and deepsim, made by the command itself."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        dataset = "synthetic-platelet"
        patch.setitem(recipes.DATASETS, dataset, smaller(dataset, images, PRESET))
        assert main(f"train-segmentation --dataset {dataset} --out {out}/segmentation --verbose 0".split()) == 0
        options = (
            f"--loss deepsim --extractor {out}/segmentation --weight 0.5 --seed 3 --epochs 3 --out {out}/deepsim"
            " --verbose 0"
        )
        assert main(["train-registration", "--dataset", dataset, *options.split()]) == 0
        yield out


def test_training_leaves_run_folders_with_the_options_in_their_recipes(trained):
    recipe = json.loads((trained / "deepsim" / "config.json").read_text())["recipe"]
    chosen = {"loss": "deepsim", "weight": 0.5, "seed": 3, "epochs": 3, "extractor": str(trained / "segmentation")}
    assert {name: recipe[name] for name in chosen} == chosen
    for run, epochs in (("segmentation", 2), ("deepsim", 3)):
        assert len(pandas.read_csv(trained / run / "history.csv")) == epochs
    assert "val_dice" in pandas.read_csv(trained / "segmentation" / "history.csv")


def test_the_similarity_is_the_frozen_encoder_of_the_segmentation_run(trained):
    segmentation = keras.models.load_model(trained / "segmentation" / "model.keras")
    model = keras.models.load_model(trained / "deepsim" / "model.keras")
    assert isinstance(model.similarity, ds.losses.DeepSim)
    encoder = ds.models.FeatureExtractor.from_model(segmentation).get_weights()
    for a, b in zip(model.similarity.extractor.get_weights(), encoder, strict=True):
        np.testing.assert_array_equal(a, b)


def test_evaluate_writes_tables_figures_and_a_report(trained, capsys):
    assert main(["evaluate", str(trained / "deepsim"), "--split", "test", "--verbose", "1"]) == 0
    folder = trained / "deepsim" / "test"  # beside the run folder's own, which is for the validation
    pairs, summary = pandas.read_csv(folder / "pairs.csv"), pandas.read_csv(folder / "summary.csv")
    assert list(pairs.columns[:4]) == ["method", "moving", "fixed", "dice"]
    assert pairs["method"].tolist() == ["identity", "identity", "DeepSim", "DeepSim"]
    assert summary["method"].tolist() == ["identity", "DeepSim"]
    np.testing.assert_allclose(summary["dice"], [pairs["dice"][:2].mean(), pairs["dice"][2:].mean()])
    expected = ds.evaluate(None, images("test"), verbose=0)
    np.testing.assert_allclose(pairs["dice"][:2], expected["dice"])
    figures = {path.name for path in (folder / "figures").glob("*.png")}
    assert {"convergence.png", "dice.png", "example_deepsim.png"} <= figures
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "DeepSim" in report and "data:image/png;base64," in report and 'src="figures' not in report
    assert f"{summary['dice'][1]:.4f}" in capsys.readouterr().out


def test_evaluate_measures_the_network_alone_and_refined(trained):
    assert main(["evaluate", str(trained / "deepsim"), "--refine", "3", "--verbose", "0"]) == 0
    folder = trained / "deepsim" / "refine-3"
    pairs, summary = pandas.read_csv(folder / "pairs.csv"), pandas.read_csv(folder / "summary.csv")
    assert summary["method"].tolist() == ["identity", "DeepSim", "DeepSim, refined"]
    for method, steps in (("DeepSim", 0), ("DeepSim, refined", 3)):
        expected = ds.evaluate(trained / "deepsim", images("val"), refine=steps, verbose=0)
        np.testing.assert_allclose(
            pairs[pairs["method"] == method]["sd_log_jacobian"], expected["sd_log_jacobian"], rtol=1e-4
        )
    assert pairs.groupby("method")["sd_log_jacobian"].mean().nunique() == 3  # the refined flows are others
    assert not (trained / "deepsim" / "pairs.csv").exists()


def test_two_runs_of_a_loss_are_told_apart_in_their_comparison(trained, tmp_path, capsys):
    runs = [str(trained / "deepsim"), str(tmp_path / "copy")]
    (tmp_path / "copy").mkdir()
    for name in ("config.json", "model.keras", "history.csv"):
        (tmp_path / "copy" / name).write_bytes((trained / "deepsim" / name).read_bytes())
    assert main(["evaluate", *runs, "--out", str(tmp_path / "comparison"), "--verbose", "0"]) == 0
    summary = pandas.read_csv(tmp_path / "comparison" / "summary.csv")
    assert summary["method"].tolist() == ["identity", "DeepSim (deepsim)", "DeepSim (copy)"]
    assert summary["dice"][1] == summary["dice"][2]
    assert not (tmp_path / "copy" / "pairs.csv").exists()
    assert capsys.readouterr().out == ""


def test_the_same_command_again_trains_nothing(trained, capsys):
    before = (trained / "segmentation" / "model.keras").read_bytes()
    assert main(f"train-segmentation --dataset synthetic-platelet --out {trained}/segmentation".split()) == 0
    assert (trained / "segmentation" / "model.keras").read_bytes() == before
    assert "Epoch" not in capsys.readouterr().out


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"deepsim, version {ds.__version__}"
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("demo", "download", "check", "train-segmentation", "train-registration", "evaluate"):
        assert f"\n  {command} " in text
        assert main([command, "-h"]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: deepsim {command} ")


def test_no_command_prints_the_help_and_fails(capsys):
    assert main([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Usage: deepsim [OPTIONS] COMMAND") and "\n  train-segmentation " in error


def test_an_interrupted_training_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("deepsim_tf.training.train_segmentation", interrupted)
    assert main(["train-segmentation", "--dataset", "synthetic-cells"]) == 130
    line = "deepsim: interrupted; the same command continues from what is finished."
    assert capsys.readouterr().err.strip().splitlines() == [line]


def test_a_full_disk_is_one_line(monkeypatch, capsys):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", "runs/model.keras")

    monkeypatch.setattr("deepsim_tf.training.train_segmentation", full)
    assert main(["train-segmentation", "--dataset", "synthetic-cells"]) == 2
    assert capsys.readouterr().err == "deepsim: [Errno 28] No space left on device: 'runs/model.keras'\n"


def test_the_process_ends_with_code_2_and_one_line_without_traceback(fresh_python):
    code = (
        "import sys; sys.argv = ['deepsim', 'evaluate', '/no/run']; from deepsim_tf.cli import main; sys.exit(main())"
    )
    process = fresh_python(code)
    assert process.returncode == 2
    assert process.stdout == ""
    lines = [line for line in process.stderr.splitlines() if line.startswith("deepsim: ")]
    assert lines == [
        "deepsim: /no/run is not a run folder: it has no config.json. Expected the folder that a training wrote."
    ]
    assert "Traceback" not in process.stderr
