"""`pip install .`: the wheel holds the package, its template and the command."""

import subprocess
import sys
import zipfile

import pytest
from places import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that pip builds from a copy of the sources."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for path in (ROOT / "deepsim_tf").rglob("*"):
        if path.suffix in (".py", ".j2"):
            copy = source / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        str(source),
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return next(out.glob("deepsim_tf-*.whl"))


def test_the_wheel_holds_every_module_and_the_template(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "deepsim_tf").rglob("*.py")}
    assert modules | {"deepsim_tf/evaluation/templates/report.html.j2"} <= names
    assert not any(name.startswith(("tests/", "train/")) for name in names)


def test_the_wheel_declares_the_command_and_the_pins(wheel):
    archive = zipfile.ZipFile(wheel)
    read = {name.split("/")[-1]: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert "deepsim=deepsim_tf.cli:main" in read["entry_points.txt"].replace(" ", "")
    assert "Requires-Dist: voxelmorph==0.2" in read["METADATA"] and "Requires-Dist: neurite==0.2" in read["METADATA"]
    assert "Requires-Python: <3.14,>=3.11" in read["METADATA"] or "Requires-Python: >=3.11,<3.14" in read["METADATA"]


def test_the_installed_command_runs(wheel, tmp_path, fresh_python):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), str(wheel)]
    subprocess.run(command, capture_output=True, timeout=300, check=True)
    result = fresh_python(
        "import sys; from deepsim_tf.cli import main; sys.exit(main(['--version']))", PYTHONPATH=str(tmp_path)
    )
    assert result.returncode == 0 and "deepsim" in result.stdout
