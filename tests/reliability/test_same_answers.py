"""The answers do not depend on threads, the locale, or the working directory."""

import deepsim_tf as ds  # isort: skip
import os
import pathlib
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas
import pytest

SHAPE = (16, 20)
# A batch of one pair, in the locale and the number of threads of the environment.
PROGRAM = """
import locale, os, sys
import tensorflow as tf
locale.setlocale(locale.LC_ALL, "")
tf.config.threading.set_intra_op_parallelism_threads(int(os.environ["THREADS"]))
tf.config.threading.set_inter_op_parallelism_threads(int(os.environ["THREADS"]))
from deepsim_tf.cli import main
folder = os.environ["FOLDER"]
print(locale.localeconv()["decimal_point"], locale.getencoding().lower().replace("ansi_x3.4-1968", "ascii"))
files = ["--model", folder + "/model.keras", "--pairs", folder + "/pairs.csv"]
code = main(["register", *files, "--out", os.environ["OUT"], "--verbose", "0"])
sys.exit(code)
"""


def moved_model(shape=SHAPE, **options):
    """A tiny model whose flow is not zero."""
    model = ds.models.registration_model(shape, features=(8,), **options)
    kernel = next(layer for layer in model.network.layers if layer.name.endswith("_flow")).weights[0]
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return model


@pytest.mark.parametrize("kind", ["predict_on_batch", "register"])
def test_eight_threads_get_the_answers_of_one(kind, texture):
    model = moved_model()
    pairs = texture((2, *SHAPE), count=12)[..., 0]

    def answer(pair):
        if kind == "register":
            return ds.register(model, *pair)["flow"]
        return np.asarray(model.predict_on_batch({"moving": pair[:1, ..., None], "fixed": pair[1:, ..., None]})["flow"])

    with ThreadPoolExecutor(8) as threads:  # before there is a graph, so that they build it together
        found = list(threads.map(answer, list(pairs) * 4))
    expected = [answer(pair) for pair in pairs] * 4
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected[0]) > 0.1 and np.abs(expected[0] - expected[1]).max() > 0.1


def german(folder):
    """Environment of a locale with a decimal comma, made of glibc's sources; None where they are missing."""
    folder.mkdir()
    if shutil.which("localedef"):
        subprocess.run(
            ["localedef", "-i", "de_DE", "-f", "UTF-8", folder / "de_DE.UTF-8"], capture_output=True, check=False
        )
    return {"LC_ALL": "de_DE.UTF-8", "LOCPATH": str(folder)} if (folder / "de_DE.UTF-8").is_dir() else None


def test_locale_working_directory_and_threads_change_nothing(tmp_path, texture, fresh_python, monkeypatch):
    for name, image in zip("ab", texture((100, 123), count=2)[..., 0]):
        np.save(tmp_path / f"{name}.npy", image)
    (tmp_path / "pairs.csv").write_text("moving,fixed,name,Anmerkung\na.npy,b.npy,first,größer\n", encoding="utf-8")
    moved_model((96, 128), intensity="quantile:0.01:0.99", image_fit="pad").save(tmp_path / "model.keras")
    # Images large enough that TensorFlow divides its convolutions among threads.
    # An ASCII locale, without Python's own way out of it; and one with a decimal comma.
    ascii_only = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "FOLDER": str(tmp_path),
        "OUT": str(tmp_path / "out"),
        "THREADS": "1",
    }
    comma = german(tmp_path / "locales")
    other = {**(comma or {"LC_ALL": "C.UTF-8"}), "FOLDER": "..", "OUT": "out", "THREADS": "4"}
    results = []
    for name, variables, decimal, encoding in (
        ("one", ascii_only, ".", "ascii"),
        ("other", other, "," if comma else ".", "utf-8"),
    ):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        done = fresh_python(PROGRAM, **variables)
        assert done.returncode == 3, done.stderr[-2000:]  # done, and doubtful: the flow of random weights folds
        assert done.stdout.splitlines()[0] == f"{decimal} {encoding}"
        out = pathlib.Path(variables["OUT"])
        table = pandas.read_csv(out / "summary.csv")
        results.append(
            (
                ds.inference.read_field(out / "first" / "flow.nii.gz").vectors,
                table.select_dtypes("float").drop(columns="seconds"),
            )
        )
    (flow, numbers), (other_flow, other_numbers) = results
    assert np.abs(flow).max() > 0.1
    np.testing.assert_allclose(other_flow, flow, atol=1e-5)
    np.testing.assert_allclose(other_numbers, numbers, rtol=1e-4, atol=1e-5)
    assert os.listdir(tmp_path / "one") == []  # all went where the options say
