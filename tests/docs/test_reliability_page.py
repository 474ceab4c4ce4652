"""docs/reliability.md: every promise names tests that exist, and the soak's numbers are those that it promises."""

import ast
import functools
import re

import pytest
from places import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)


@functools.cache
def functions(file):
    return {
        node.name
        for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }


def rows(heading):
    """The cells of the table's rows under a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line][1:]


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_a_named_test_exists(file, name):
    assert name in functions(file)


def test_every_row_names_a_test():
    table = rows("The promises, and the tests that hold them")
    assert len(table) >= 12
    for promise, tests in table:
        assert promise and re.search(r"`tests/[\w/]+\.py::test_\w+`", tests), promise


def test_the_soak_was_long_enough_and_found_nothing():
    soak = rows("The long run: `make soak`")
    kind, cases, refused, valid, unchanged, failed, _ = next(row for row in soak if row[0] == "all")
    assert int(cases) >= 2000 and int(failed) == 0, kind
    assert int(refused) + int(valid) + int(unchanged) == int(cases)
    assert all(float(row[6]) < 30 for row in soak if len(row) == 7 and row[6])  # seconds: no case hung
    memory = [row for row in soak if "10000 x" in row[0]]
    assert {re.search(r"`(.*)`", row[0]).group(1) for row in memory} == {"model.predict_on_batch", "ds.register"}
    assert all(float(row[3].removesuffix(" %")) <= 1 for row in memory)
