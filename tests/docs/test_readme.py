"""Every Python example of the README runs, and every command that it and the pages in docs/ show exists."""

import re
import shlex

import deepsim_tf as ds  # isort: skip
import click
import numpy as np
import pytest
from places import ROOT

from deepsim_tf.cli import CONTEXT, cli

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


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_the_commands_parse(page):
    text = "\n".join(re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.S)).replace("\\\n", " ")
    lines = [
        line.split("#")[0].removeprefix("srun ") for line in text.splitlines() if re.match("(srun )?deepsim ", line)
    ]
    assert len(lines) >= (10 if page.name == "README.md" else 0)
    for line in lines:
        _, name, *arguments = shlex.split(line)
        command = cli.commands[name]
        command.make_context(name, arguments, parent=click.Context(cli, **CONTEXT))


def test_make_knows_the_two_commands():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert {"demo", "test"} <= set(targets)
    assert "make demo" in README and "make test" in README
