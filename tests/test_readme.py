"""Every Python example of the README runs, and every command that it shows exists."""

import pathlib
import re
import shlex

import deepsim_tf as ds  # isort: skip
import click
import numpy as np

from deepsim_tf.cli import cli

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_python_examples_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["prediction"]["flow"].shape == (1, 64, 64, 2) and np.isfinite(names["prediction"]["warped"]).all()
    table = ds.evaluate(names["model"], names["test"], verbose=0)
    identity = ds.evaluate(None, names["test"], verbose=0)
    assert table["dice"].mean() > identity["dice"].mean() + 0.01


def test_the_commands_parse():
    lines = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines() if line.startswith("deepsim ")]
    assert len(lines) >= 3
    for line in lines:
        _, name, *arguments = shlex.split(line)
        command = cli.commands[name]
        command.make_context(name, arguments, parent=click.Context(cli))


def test_make_knows_the_two_commands():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert {"demo", "test"} <= set(targets)
    assert "make demo" in README and "make test" in README
