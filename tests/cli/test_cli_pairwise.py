"""`deepsim register` without a model."""

import deepsim_tf as ds  # isort: skip
import json

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from deepsim_tf.cli import main


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder with two pictures, the second shifted by 3 rows and 2 columns, as the working directory."""
    monkeypatch.chdir(tmp_path)
    whole = gaussian_filter(np.random.default_rng(0).random((51, 50)), 2)
    whole = ((whole - whole.min()) / np.ptp(whole) * 255).astype(np.uint8)
    tifffile.imwrite("a.tif", whole[3:, 2:])
    tifffile.imwrite("b.tif", whole[:-3, :-2])
    return tmp_path


def test_two_files_are_enough(pictures, capsys):
    assert main("register --moving a.tif --fixed b.tif --out out --steps 8".split()) == 0
    assert "LocalNCC (loss): " in capsys.readouterr().out
    report = json.loads((pictures / "out" / "registration.json").read_text())
    assert report["model"] == "PairwiseOptimizer" and report["solver"]["transform"] == "affine+deformable"
    assert report["similarity"]["after"] < 0.5 * report["similarity"]["before"] and report["folds"] == 0
    assert (pictures / "out" / "affine.txt").is_file() and (pictures / "out" / "inverse_flow.nii.gz").is_file()
    flow = ds.inference.read_field(pictures / "out" / "flow.nii.gz").voxels()
    np.testing.assert_allclose(np.median(flow, axis=(0, 1)), [-3, -2], atol=0.3)


def test_every_option_reaches_the_optimizer(pictures):
    segmentation = ds.models.segmentation_model((32, 32), 2, features=(2, 2))
    segmentation.save("model.keras")
    options = "--similarity mse:2,deepsim:0.5 --extractor model.keras --regularizer bending --weight 0.3 --levels 2"
    options += " --steps 2,1 --resolution 2 --transform deformable --intensity minmax --verbose 0"
    assert main(f"register --moving a.tif --fixed b.tif --out out {options}".split()) == 0
    report = json.loads((pictures / "out" / "registration.json").read_text())
    solver = report["solver"]
    assert solver.pop("learning_rate") > 0 and solver.pop("smoothing") > 0
    assert solver == {
        "similarity": [["mean_squared_error", 2.0], ["deepsim", 0.5]],
        "regularizer": [["bending_energy", 1.0]],
        "weight": 0.3,
        "transform": "deformable",
        "int_steps": 7,
        "steps": [2, 1],
        "resolution": 2.0,
    }
    assert report["settings"]["intensity"] == "minmax"
    assert [grid["grid"] for grid in report["optimization"]["deformable"]] == [[24, 24]]  # 12 x 12 is too small
    assert "similarity_map" in report["files"]


def test_a_batch_without_a_model_goes_on_where_it_was_and_knows_other_settings(pictures, capsys):
    (pictures / "pairs.csv").write_text("moving,fixed,name\na.tif,b.tif,one\nb.tif,a.tif,two\n")
    batch = "register --pairs pairs.csv --out out --transform translation --verbose 0"
    assert main(batch.split()) == 0
    first = (pictures / "out" / "one" / "registration.json").read_bytes()
    assert main(batch.split()) == 0 and (pictures / "out" / "one" / "registration.json").read_bytes() == first
    assert main([*batch.split(), "--similarity", "mse"]) == 1
    assert "holds another registration, with another solver" in capsys.readouterr().err


BAD = {
    "--transform spline": "Unknown transform 'spline'. Available: translation, rigid",
    "--similarity ncd": "Unknown similarity 'ncd'. Available: mse, ncc, nmi, mind, mae, deepsim",
    "--similarity ncc:x": "names with factors, as in ncc,deepsim:5. Received: 'ncc:x'",
    "--similarity deepsim": "--similarity deepsim and --extractor belong together",
    "--extractor model.keras": "--similarity deepsim and --extractor belong together",
    "--similarity deepsim --extractor none": "none",
    "--steps 3,x": "--steps takes whole numbers, as in 60,40,20. Received: '3,x'",
    "--levels 2 --steps 1,2,3": "steps must be one number, or one for each of 2 levels",
    "--weight -1": "weight of the regulariser must be a finite number, 0 or more",
    "--regularizer tv": "Unknown regularizer 'tv'",
    "--model run --weight 1": "--weight is for a registration without --model",
    "--refine 5": "minimises its loss on the pair already",
}


@pytest.mark.parametrize("options", BAD)
def test_bad_options_end_in_one_line_and_write_nothing(options, pictures, capsys):
    assert main(["register", "--moving", "a.tif", "--fixed", "b.tif", "--out", "out", *options.split()]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("deepsim: ") and BAD[options] in error and "\n" not in error
    assert not (pictures / "out").exists()
