"""The only module that touches another package.

VoxelMorph 0.2 on Keras 3, and oneDNN on a CPU.

Imported before anything else of this package, and before TensorFlow where possible, because both
the oneDNN switch and the three repairs must come first.
"""

import contextlib
import importlib
import inspect
import os
import sys
import warnings
from importlib import metadata

INSTALL_VOXELMORPH = "pip install voxelmorph==0.2 neurite==0.2"


def enable_onednn():
    """Turn oneDNN on unless the user has decided otherwise.

    TensorFlow leaves it off on x86 CPUs without VNNI or AMX, where it makes 3-D convolutions three
    to four times faster (benchmarks/README.md). The variable is read when TensorFlow is imported.
    """
    if "TF_ENABLE_ONEDNN_OPTS" in os.environ:
        return
    if "tensorflow" in sys.modules:
        if not _cpu_has_onednn_default():
            warnings.warn(
                "TensorFlow was imported before deepsim_tf, too late to switch oneDNN on: training on this CPU will be"
                " several times slower. Import deepsim_tf first, or set TF_ENABLE_ONEDNN_OPTS=1 (0 silences this).",
                stacklevel=3,
            )
        return
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"


def _cpu_has_onednn_default():
    """Whether TensorFlow switches oneDNN on by itself (or the CPU cannot be asked)."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpuinfo:
            text = cpuinfo.read()
    except OSError:
        return True
    return "avx512_vnni" in text or "amx_tile" in text or "flags" not in text


def check_versions():
    """Refuse what cannot work, in one sentence that says what to install or unset."""
    if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
        raise ImportError(
            "deepsim_tf needs Keras 3, but TF_USE_LEGACY_KERAS is set; unset TF_USE_LEGACY_KERAS and start again."
        )
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise ImportError(
            f"deepsim_tf needs Keras on TensorFlow, but KERAS_BACKEND is {backend!r}; unset KERAS_BACKEND and start"
            " again."
        )
    for name in ("VXM_BACKEND", "NEURITE_BACKEND"):
        if os.environ.get(name, "tensorflow") != "tensorflow":
            raise ImportError(
                f"deepsim_tf needs the TensorFlow VoxelMorph, but {name} is {os.environ[name]!r}; unset {name} and"
                " start again."
            )
    for name in ("voxelmorph", "neurite"):
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = "missing"
        # 0.3 and later of both are PyTorch packages under the same name.
        if found != "0.2":
            raise ImportError(
                f"deepsim_tf needs {name} 0.2 (the last TensorFlow release), but found: {found}; run:"
                f" {INSTALL_VOXELMORPH}"
            )


def repair_voxelmorph():
    """Restore the three names that neurite 0.2 and VoxelMorph 0.2 use and that have gone since."""
    import keras
    import tensorflow as tf

    if not keras.__version__.startswith("3."):
        raise ImportError(
            f"deepsim_tf needs Keras 3, but found Keras {keras.__version__}; run: pip install 'keras>=3.13,<3.16'"
        )
    if not hasattr(inspect, "getargspec"):  # removed in Python 3.11; neurite.tf.modelio reads constructors with it
        inspect.getargspec = lambda function: inspect.getfullargspec(function)[:4]
    for name in ("mean_absolute_error", "mean_squared_error"):  # neurite.tf.losses and .metrics import both from here
        module = importlib.import_module(
            "tensorflow.keras.losses"
        )  # `tf.keras.losses` can be another object until this import
        if not hasattr(module, name):
            setattr(module, name, getattr(keras.losses, name))
    if not hasattr(keras.KerasTensor, "get_shape"):  # vxm.networks.Unet asks its tensors for it
        keras.KerasTensor.get_shape = lambda tensor: tf.TensorShape(tensor.shape)


def metrics_list():
    """The class of Keras in whose members alone callbacks with mode="auto" look for the direction of a metric."""
    from keras.src.trainers.compile_utils import MetricsList

    return MetricsList


@contextlib.contextmanager
def graphs_let_go():
    """Let go, at the end, of the graphs with a tf.custom_gradient that were traced inside.

    TensorFlow registers each of these gradients by a name of its own, with its graph, as long as the process lives.
    The step of every Keras optimizer has one (in `all_reduce`), and local NCC has them. Names are looked up only while
    a graph is differentiated: what was traced inside still runs, and a model still trains.
    """
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    before = set(registered)
    try:
        yield
    finally:
        for name in [name for name in registered if name.startswith("CustomGradient-") and name not in before]:
            del registered[name]


def writes_legacy_h5():
    """Whether Keras is writing a model in its .h5 format, or reading one, where it asks for the config."""
    from keras.src.backend.common import global_state

    return bool(global_state.get_global_attribute("use_legacy_config", False))


# TensorFlow 2.21 logs, as errors, that there is no GPU and that an optional graph rewrite was skipped, in the middle of
# progress bars; what matters arrives as a Python exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
enable_onednn()
check_versions()
repair_voxelmorph()

import voxelmorph as vxm  # noqa: E402  (only after the repairs)

__all__ = ["vxm"]
