"""What importing the package changes, and what it refuses."""

import inspect
import os
import sys
import warnings
from importlib import metadata

import keras
import pytest

from deepsim_tf import _compat


def test_the_import_switches_onednn_on_and_repairs_voxelmorph(fresh_python):
    process = fresh_python(
        "import deepsim_tf, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS']); import voxelmorph;"
        " print(voxelmorph.networks.VxmDense)"
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split()[0] == "1" and "VxmDense" in process.stdout


def test_legacy_keras_is_refused_with_what_to_unset(fresh_python):
    process = fresh_python("import deepsim_tf", TF_USE_LEGACY_KERAS="1")
    assert process.returncode == 1
    assert (
        process.stderr.strip()
        .splitlines()[-1]
        .startswith("ImportError: deepsim_tf needs Keras 3, but TF_USE_LEGACY_KERAS is set; unset")
    )


@pytest.fixture
def slow_cpu(monkeypatch):
    """A CPU on which TensorFlow leaves oneDNN off, and no choice by the user."""
    monkeypatch.setattr(_compat, "_cpu_has_onednn_default", lambda: False)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)


@pytest.mark.parametrize("choice, expected", [(None, "1"), ("0", "0"), ("1", "1")])
def test_onednn_is_switched_on_unless_the_user_has_chosen(slow_cpu, monkeypatch, choice, expected):
    monkeypatch.delitem(sys.modules, "tensorflow")  # as before its import
    if choice is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", choice)
    _compat.enable_onednn()
    assert os.environ.pop("TF_ENABLE_ONEDNN_OPTS") == expected


def test_tensorflow_imported_first_is_too_late_and_says_so(slow_cpu):
    assert "tensorflow" in sys.modules
    with pytest.warns(
        UserWarning, match="TensorFlow was imported before deepsim_tf, too late .* Import deepsim_tf first"
    ) as caught:
        _compat.enable_onednn()
    assert len(caught) == 1 and "TF_ENABLE_ONEDNN_OPTS" not in os.environ


@pytest.mark.parametrize("choice", ["0", "1"])
def test_a_user_who_has_chosen_is_not_warned(slow_cpu, monkeypatch, choice):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", choice)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _compat.enable_onednn()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == choice


def test_a_cpu_where_onednn_is_on_anyway_is_no_reason_to_warn(slow_cpu, monkeypatch):
    monkeypatch.setattr(_compat, "_cpu_has_onednn_default", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _compat.enable_onednn()


@pytest.mark.parametrize("package", ["voxelmorph", "neurite"])
def test_another_version_is_refused_with_what_to_install(package, monkeypatch):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.3.1" if name == package else real(name))
    with pytest.raises(
        ImportError, match=rf"needs {package} 0.2 .* found: 0.3.1; run: pip install voxelmorph==0.2 neurite==0.2$"
    ):
        _compat.check_versions()


def test_a_missing_package_is_refused_with_what_to_install(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(
        ImportError, match="needs voxelmorph 0.2 .* found: missing; run: pip install voxelmorph==0.2 neurite==0.2"
    ):
        _compat.check_versions()


@pytest.mark.parametrize(
    "variable, value", [("KERAS_BACKEND", "torch"), ("VXM_BACKEND", "pytorch"), ("NEURITE_BACKEND", "pytorch")]
)
def test_another_backend_is_refused_with_what_to_unset(variable, value, monkeypatch):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ImportError, match=f"{variable} is '{value}'; unset {variable} and start again"):
        _compat.check_versions()


def test_the_installed_versions_are_accepted_and_the_repairs_are_in_place():
    _compat.check_versions()
    assert inspect.getargspec(lambda a, b=1: None)[:2] == (["a", "b"], None)
    assert keras.KerasTensor((None, 4)).get_shape().as_list() == [None, 4]
    from tensorflow.keras import losses

    assert callable(losses.mean_squared_error) and callable(losses.mean_absolute_error)
