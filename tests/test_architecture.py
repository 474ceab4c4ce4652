"""docs/architecture.md names every folder of the package, and every import goes up its table: there is no circle."""

import ast
import re

import pytest
from places import ROOT

PACKAGE = ROOT / "deepsim_tf"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
STAGES = re.findall(r"^\| `(\w+)` \|", PAGE.split("## The stages")[1].split("\n## ")[0], re.MULTILINE)
MODULES = sorted(PACKAGE.rglob("*.py"))


def stage(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported(path):
    """The stages that a module imports from."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "deepsim_tf":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("deepsim_tf."))


def test_the_page_names_every_stage_once():
    found = {stage(path) for path in MODULES} - {"__init__"}
    assert sorted(STAGES) == sorted(found)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_imports_only_stages_before_it(name):
    before = STAGES[: STAGES.index(name) + 1]
    wrong = {
        f"{path.relative_to(ROOT)} imports {other}"
        for path in MODULES
        if stage(path) == name
        for other in imported(path)
        if other not in before
    }
    assert not wrong


def test_modules_of_a_folder_import_each_other_in_one_direction():
    graph = {}
    for path in MODULES:
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deepsim_tf."):
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        graph[dotted] = names
    graph = {name: others & set(graph) - {name} for name, others in graph.items()}
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, f"a circle: {' -> '.join([*open_[open_.index(name) :], name])}"
        if name not in done:
            open_.append(name)
            for other in sorted(graph[name]):
                visit(other)
            done.add(open_.pop())

    for name in sorted(graph):
        visit(name)


def test_nothing_lies_loose_at_the_root_of_the_package():
    loose = {path.name for path in PACKAGE.glob("*.py")}
    assert loose == {"__init__.py", "_compat.py", "checks.py", "files.py"}
