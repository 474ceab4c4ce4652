"""`deepsim register` and `deepsim warp`, as a user calls them.

What is written, what is refused, and a batch that is killed.
"""

import json
import os
import signal
import subprocess
import sys
import time

import nibabel
import numpy as np
import pandas
import pytest
from PIL import Image
from places import ROOT

import deepsim_tf as ds
from deepsim_tf.cli import main

SHAPE = (24, 32)


@pytest.fixture(scope="module")
def run(tmp_path_factory, extractor):
    """The folder of a tiny model, compiled with DeepSim, whose flow is not zero."""
    folder = tmp_path_factory.mktemp("run")
    model = ds.models.registration_model(SHAPE, features=(4,), intensity="fixed:0:256", image_fit="pad")
    kernel, bias = next(layer for layer in model.network.layers if layer.name.endswith("_flow")).weights
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    bias.assign([0.5, -0.8])
    model.compile("adam", ds.losses.DeepSim(extractor), regularizer=ds.losses.Diffusion(), weight=0.1)
    model.save(folder / "model.keras")
    return folder


@pytest.fixture
def cells(tmp_path, texture, monkeypatch):
    """Three images after_k.tif and before_k.tif, of 8 bits, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for k, (moving, fixed) in enumerate(texture((3, 2, 30, 28), smooth=2)[0, ..., 0]):
        for name, image in (("after", moving), ("before", fixed)):
            Image.fromarray((255 * image).astype("uint8")).save(f"{name}_{k}.tif")
    return tmp_path


def deepsim(*arguments):
    return main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    capsys.readouterr()
    assert deepsim(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("deepsim: ") and error.count("\n") == 1
    return error


def test_two_tiffs_become_a_folder_and_its_flow_warps_other_files(run, cells, capsys):
    assert (
        deepsim(
            "register",
            "--model",
            run,
            "--moving",
            "after_0.tif",
            "--fixed",
            "before_0.tif",
            "--out",
            "out",
            "--refine",
            2,
        )
        == 3  # the network is untrained, and makes the images no more alike
    )
    output = capsys.readouterr().out
    assert output.startswith("DeepSim: ") and "pixels; folds" in output and "Wrote out: warped.tif, " in output
    report = json.loads((cells / "out" / "registration.json").read_text())
    assert {path.name for path in (cells / "out").iterdir()} == {*report["files"].values(), "registration.json"}
    assert set(report["files"]) == {"warped", "log_jacobian", "similarity_map", "flow", "picture"}
    assert report["refinement"]["steps"] == 2 and report["settings"] == {
        "refine": 2,
        "align": "headers",
        "intensity": None,
    }
    assert report["doubtful"] and any("The flow moves something by" in doubt for doubt in report["warnings"])
    assert report["model"] == str(run) and report["displacement"]["mean"] > 0.3 and report["versions"]["keras"]
    assert Image.open("out/overview.png").size > (600, 400)
    warped = np.asarray(Image.open("out/warped.tif"))
    assert (
        warped.dtype == np.float32 and warped.shape == (30, 28) and warped.max() > 100
    )  # in the file's own intensities
    similarity = np.asarray(Image.open("out/similarity_map.tif"))
    assert -1 <= similarity.min() < similarity.max() <= 1 + 1e-6

    assert deepsim("warp", "--flow", "out/flow.nii.gz", "--image", "after_0.tif", "--out", "again.tif") == 0
    again = np.asarray(Image.open("again.tif"))
    assert again.dtype == np.uint8
    np.testing.assert_allclose(again, warped, atol=0.51)
    labels = (np.asarray(Image.open("after_0.tif")) > 128).astype("uint16") * 700
    np.save("labels.npy", labels)
    assert (
        deepsim("warp", "--flow", "out/flow.nii.gz", "--image", "labels.npy", "--out", "warped_labels.npy", "--labels")
        == 0
    )
    found = np.load("warped_labels.npy")
    assert found.dtype == np.uint16 and set(np.unique(found)) == {0, 700}
    assert np.mean((found > 0) == (warped > 128)) > 0.93  # linear and nearest differ at edges alone

    capsys.readouterr()
    assert deepsim("warp", "--invert", "out/flow.nii.gz", "--out", "inverse.nii.gz", "--like", "after_0.tif") == 0
    assert "Residual: mean" in "".join(capsys.readouterr())
    assert deepsim("warp", "--compose", "out/flow.nii.gz", "inverse.nii.gz", "--out", "both.nii.gz") == 0
    both, flow = (ds.inference.read_field(name).vectors for name in ("both.nii.gz", "out/flow.nii.gz"))
    assert np.median(np.abs(both[5:-5, 5:-5])) < 0.1 * np.median(np.abs(flow))

    before = {path: path.read_bytes() for path in cells.rglob("*") if path.is_file()}
    register = ["register", "--model", run, "--moving", "after_0.tif", "--fixed", "before_0.tif", "--out"]
    assert "out already holds a finished registration" in refused(capsys, *register, "out")
    assert "exists and is no empty folder" in refused(capsys, *register, cells)
    assert "again.tif exists already" in refused(
        capsys, "warp", "--flow", "out/flow.nii.gz", "--image", "after_0.tif", "--out", "again.tif"
    )
    assert {path: path.read_bytes() for path in cells.rglob("*") if path.is_file()} == before


def test_the_header_and_format_of_the_fixed_volume_are_kept(tmp_path, texture, capsys):
    model = ds.models.registration_model((12, 12, 12), features=(2,), intensity="minmax")
    model.save(tmp_path / "model.keras")
    image = nibabel.Nifti1Image((200 * texture((14, 15, 9))[0, ..., 0]).astype("int16"), np.diag([-1.0, 2, 3, 1]))
    image.header["descrip"], image.header["cal_max"] = b"scanner A", 200
    nibabel.save(image, tmp_path / "fixed.nii.gz")
    nibabel.save(nibabel.MGHImage(texture((14, 15, 9), seed=1)[0, ..., 0], image.affine), tmp_path / "moving.mgz")
    for moving, fixed, name in (
        ("moving.mgz", "fixed.nii.gz", "warped.nii.gz"),
        ("fixed.nii.gz", "moving.mgz", "warped.mgz"),
    ):
        paths = ["--moving", tmp_path / moving, "--fixed", tmp_path / fixed]
        assert deepsim("register", "--model", tmp_path / "model.keras", *paths, "--out", tmp_path / name[7:10]) == 0
        warped = nibabel.load(tmp_path / name[7:10] / name)
        np.testing.assert_allclose(warped.affine, image.affine, atol=1e-6)
        assert warped.shape == (14, 15, 9) and warped.get_data_dtype().newbyteorder("=") == np.float32
    header = nibabel.load(tmp_path / "nii" / "warped.nii.gz").header
    assert header["descrip"].tobytes().startswith(b"scanner A") and header["cal_max"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "register --model RUN --moving after_0.tif --out new",
            "register needs two images (--moving FILE --fixed FILE), or a CSV file",
        ),
        ("register --model RUN --moving a.tif --fixed b.tif --pairs c.csv --out new", "Received: both."),
        ("register --model none --moving after_0.tif --fixed before_0.tif --out new", "No model at none"),
        ("register --model RUN --moving none.tif --fixed before_0.tif --out new", "No file none.tif"),
        (
            "register --model RUN --moving after_0.tif --fixed before_0.tif --out new --align heads",
            "Unknown align 'heads'",
        ),
        (
            "register --model RUN --moving after_0.tif --fixed before_0.tif --out new --intensity grey",
            "Unknown intensity rule 'grey'",
        ),
        (
            "register --model RUN --moving after_0.tif --fixed before_0.tif --out new --refine -1",
            "Invalid value for '--refine'",
        ),
        ("register --model RUN --pairs none.csv --out new", "No file none.csv"),
        (
            "register --model RUN --pairs columns.csv --out new",
            "has the columns image. Expected the columns moving, fixed",
        ),
        ("register --model RUN --pairs twice.csv --out new", "line 3: the pair 'after_0_to_before_0' is in line 2 too"),
        ("register --model RUN --pairs path.csv --out new", "'../x' cannot name a folder"),
        ("warp --out new.tif", "warp takes one of: --flow FLOW --image IMAGE"),
        ("warp --flow f.nii.gz --out new.tif", "warp takes one of"),
        (
            "warp --flow f.nii.gz --image after_0.tif --out new.jpg",
            "Cannot write new.jpg: expected a name that ends in",
        ),
        (
            "warp --flow f.nii.gz --image after_0.tif --out new.tif",
            "No file f.nii.gz. Expected a NIfTI displacement field",
        ),
        ("warp --invert f.nii.gz --labels --out new.nii.gz", "--labels belongs to --flow"),
        ("warp --invert f.nii.gz --out new.tif", "Cannot write a flow to new.tif"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(run, cells, capsys, arguments, words):
    (cells / "columns.csv").write_text("image\na.tif\n")
    (cells / "twice.csv").write_text("moving,fixed\n" + "after_0.tif,before_0.tif\n" * 2)
    (cells / "path.csv").write_text("moving,fixed,name\nafter_0.tif,before_0.tif,../x\n")
    assert words in refused(capsys, *arguments.replace("RUN", str(run)).split())
    assert not [path for path in cells.iterdir() if path.name.startswith(("new", ".new"))]


def test_a_failing_pair_is_listed_and_the_rest_is_done(run, cells, capsys):
    (cells / "damaged.tif").write_bytes(b"II*\0damaged")
    rows = [
        "after_0.tif,before_0.tif,first",
        "damaged.tif,before_1.tif,",
        "none.tif,before_1.tif,gone",
        "after_2.tif,before_2.tif,",
    ]
    (cells / "pairs.csv").write_text("\n".join(["moving,fixed,name", *rows]))
    batch = ["register", "--model", run, "--pairs", "pairs.csv", "--out", "results", "--verbose", 0]
    assert deepsim(*batch) == 1
    output = capsys.readouterr()
    assert "2 of 4 pairs registered" in output.out
    assert (
        "damaged_to_before_1: failed: Cannot read damaged.tif" in output.err
        and "gone: failed: No file none.tif" in output.err
    )
    table = pandas.read_csv("results/summary.csv").set_index("name")
    assert table["status"].to_dict() == {
        "first": "done",
        "damaged_to_before_1": "failed",
        "gone": "failed",
        "after_2_to_before_2": "done",
    }
    assert (table.loc[["first", "after_2_to_before_2"], "mean_displacement"] > 0.3).all()
    assert sorted(path.name for path in (cells / "results").iterdir()) == [
        "after_2_to_before_2",
        "first",
        "summary.csv",
    ]

    # the same command, with one file repaired: what is finished stays, the other is done now
    before = {path: path.stat().st_mtime_ns for path in (cells / "results").rglob("*.tif")}
    (cells / "damaged.tif").write_bytes((cells / "after_1.tif").read_bytes())
    (cells / "none.tif").write_bytes((cells / "after_1.tif").read_bytes())
    assert deepsim(*batch) == 3  # done, and doubtful: the network is untrained
    assert {path: path.stat().st_mtime_ns for path in before} == before
    # other settings are no continuation
    assert deepsim(*batch, "--intensity", "minmax") == 1
    assert "results/first holds another registration, with another settings" in capsys.readouterr().err


def test_a_batch_that_is_killed_goes_on_where_it_was(run, cells):
    names = ["a", "b", "c", "d"]
    rows = [f"after_{k % 3}.tif,before_{k % 2}.tif,{name}" for k, name in enumerate(names)]
    (cells / "pairs.csv").write_text("\n".join(["moving,fixed,name", *rows]))
    batch = ["register", "--model", str(run), "--pairs", "pairs.csv", "--out", "results"]
    code = f"import sys; from deepsim_tf.cli import main; sys.exit(main({batch!r}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    results, deadline = cells / "results", time.time() + 240
    # the second pair is done and the third being written, aside
    while not ((results / "b").exists() and list(results.glob(".c-*.aside/c/warped.tif"))):
        assert time.time() < deadline and process.poll() is None, "the batch did not reach its third pair"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert sorted(path.name for path in results.iterdir() if not path.name.startswith(".")) == ["a", "b"]
    done = {path: path.stat().st_mtime_ns for path in results.glob("[ab]/*")}

    assert deepsim(*batch, "--verbose", 0) == 3  # done, and doubtful: the network is untrained
    assert sorted(path.name for path in results.iterdir()) == [*names, "summary.csv"]  # and no debris
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert all(len(list((results / name).iterdir())) == 6 for name in names)
    assert list(pandas.read_csv(results / "summary.csv")["status"]) == ["done"] * 4
