"""The README's tables name every loss and every published data set of the package's own tables, with its weights."""

import re

import pytest
from places import ROOT

from deepsim_tf import recipes

README = (ROOT / "README.md").read_text(encoding="utf-8")


def rows(heading):
    """The rows of the table whose head begins so, as lists of cells."""
    table = README.split(f"| {heading} |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_every_loss_has_a_row_with_its_weight_on_the_cells():
    named = {re.match(r"`([\w-]+)`", cells[0]): cells for cells in rows("`--loss`") if cells[0].startswith("`")}
    weights = {match.group(1): float(cells[-1]) for match, cells in named.items()}
    expected = {name: entry.weights["phc-u373"] for name, entry in recipes.LOSSES.items() if entry.weights}
    assert weights == expected


def test_every_loss_s_row_names_its_class():
    for cells in rows("`--loss`"):
        match = re.match(r"`([\w-]+)`", cells[0])
        if match and not recipes.LOSSES[match.group(1)].supervised and match.group(1) != "deepsim-vgg":
            assert f".{recipes.LOSSES[match.group(1)].make.__name__}`" in cells[1]


@pytest.mark.parametrize("dataset", [name for name, entry in recipes.DATASETS.items() if entry.place == "folder"])
def test_every_data_set_has_a_row(dataset):
    assert any(cells[0] == f"`{dataset}`" for cells in rows("`--dataset`"))
