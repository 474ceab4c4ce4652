"""The notebooks run in their reduced form, without a warning and with pictures, and are kept without outputs."""

import re

import nbformat
import pytest
from nbmake.nb_run import NotebookRun
from places import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PICTURES = {
    "01_quick_start": 4,
    "02_what_the_features_see": 5,
    "03_your_own_data": 2,
    "04_compare_the_losses": 3,
    "05_brains_in_3d": 5,
}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_is_each_of_the_five():
    assert [path.stem for path in NOTEBOOKS] == list(PICTURES)


@every_notebook
def test_outputs_are_stripped(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"  # the one that every environment with ipykernel has
    for cell in code_cells(notebook):
        assert cell.outputs == [] and cell.execution_count is None, cell.source
        assert not cell.metadata, cell.source  # where Jupyter and Colab keep times of execution and folded outputs


def test_all_begin_with_the_same_installation():
    first = {code_cells(nbformat.read(path, as_version=4))[0].source for path in NOTEBOOKS}
    assert len(first) == 1
    # Its requirements, with the pins, are the package's own (test_packaging.py); nothing else is installed.
    assert re.findall(r"%pip install (.*)", first.pop()) == ["--quiet git+{REPOSITORY}"]


@every_notebook
def test_links_lead_to_files(path):
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (path.parent / link).is_file(), link
    for page in re.findall(r"`(docs/[\w.-]+)`", text):
        assert (ROOT / page).is_file(), page


@every_notebook
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    copy = tmp_path / path.name  # what it writes stays in this folder
    copy.write_bytes(path.read_bytes())
    monkeypatch.setenv("DEEPSIM_REDUCED", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in (
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
        "MPLCONFIGDIR",
    ):  # no kernel, history or cache of the user's
        monkeypatch.setenv(name, str(tmp_path / name))
    result = NotebookRun(copy, default_timeout=300).execute()
    assert result.error is None, result.error and result.error.trace
    outputs = [output for cell in code_cells(result.nb) for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert all(cell.execution_count for cell in code_cells(result.nb))
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= PICTURES[path.stem]
