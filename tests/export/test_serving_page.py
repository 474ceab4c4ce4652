"""docs/serving.md and train/export.py: what they show is what happens."""

import deepsim_tf as ds  # isort: skip
import pathlib
import re
import runpy
import shlex

import click
import pytest
from places import ROOT

from deepsim_tf.cli import CONTEXT, cli, main

PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def test_the_page_and_the_script_export_version_after_version(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = pathlib.Path("runs/u373/deepsim")
    run.mkdir(parents=True)
    model = ds.models.registration_model((8, 8), features=(2,))
    model.compile("adam")
    model.save(run / "model.keras")

    first, onnx = [
        shlex.split(line)[1:] for block in blocks("sh") for line in block.splitlines() if line.startswith("deepsim ")
    ]
    assert main(first) == 0 and capsys.readouterr().out.endswith("Wrote served/u373/1\n")
    cli.commands["export"].make_context(
        "export", onnx[1:], parent=click.Context(cli, **CONTEXT)
    )  # run in test_export_onnx.py

    (python,) = blocks("python")
    exec(compile(python, "serving.md", "exec"), {})
    monkeypatch.setattr("sys.argv", ["export.py", "--model", str(run), "--out", "served/u373"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / "train" / "export.py"), run_name="__main__")
    assert capsys.readouterr().out.endswith("Wrote served/u373/3\n")
    assert {path.name for path in pathlib.Path("served/u373").iterdir()} == {"1", "2", "3"}


def test_the_page_names_files_that_exist():
    for name in re.findall(r"(?:serving|tests/export)/\w+\.\w+", PAGE):
        assert (ROOT / name).is_file(), name
