"""The version folder.

What is in it and what is not, which number it gets, and what a watching server can see of one half-written.
"""

import deepsim_tf as ds  # isort: skip
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from exports import brains, cells, loaded, served
from places import ROOT
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from deepsim_tf.cli import main
from deepsim_tf.layers import compiled as compiled_parts

WARMUP = "assets.extra/tf_serving_warmup_requests"


def marked_for_xla(version):
    """Functions and operations of a SavedModel with an attribute that makes TensorFlow compile them."""
    (graph,) = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes()).meta_graphs
    functions = graph.graph_def.library.function
    marked = {f.signature.name: f.attr for f in functions}
    marked |= {f"{f.signature.name}/{node.name}": node.attr for f in functions for node in f.node_def}
    marked |= {node.name: node.attr for node in graph.graph_def.node}
    return [
        name
        for name, attributes in marked.items()
        if any(re.match("_XlaMustCompile|_xla_compile", a) and attributes[a].b for a in attributes)
    ]


@pytest.mark.parametrize("model", [cells, brains])
def test_nothing_is_marked_for_xla(model, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_parts, "LARGE", 1)  # otherwise these images are too small for XLA anyway
    assert marked_for_xla(ds.export(model(), tmp_path / "served", verbose=0)) == []
    module = tf.Module()
    compiled = tf.function(lambda x: x + 1, jit_compile=True)
    module.run = tf.function(lambda x: compiled(x), input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(module, str(tmp_path / "marked"))
    assert marked_for_xla(tmp_path / "marked")  # this test sees the mark where there is one


def test_only_the_weights_that_are_read_are_stored():
    def stored(version):
        shapes = tf.train.load_checkpoint(str(version / "variables" / "variables")).get_variable_to_shape_map()
        return sorted(tuple(shape) for name, shape in shapes.items() if name.endswith("VARIABLE_VALUE"))

    def shapes(*layers):
        return sorted(tuple(weight.shape) for layer in layers for weight in layer.weights)

    assert stored(served(cells)) == shapes(
        cells().network, cells().similarity.extractor
    )  # no optimiser, no state of dropout
    assert stored(served(brains)) == shapes(brains().network)


def test_the_signatures_have_named_inputs_of_any_batch_and_size():
    signature = loaded(brains).signatures["serving_default"]
    inputs = signature.structured_input_signature[1]
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in inputs.items()} == {
        name: ([None, None, None, None, 1], tf.float32) for name in ("moving", "fixed")
    }
    labels = loaded(cells).signatures["warp_labels"].structured_input_signature[1]
    assert labels["labels"].dtype == tf.int32 and labels["flow"].shape.as_list() == [None, None, None, 2]


@pytest.mark.parametrize("model", [cells, brains])
def test_the_warmup_file_holds_a_request_for_each_signature_that_the_model_answers(model):
    signatures, asked = loaded(model).signatures, []
    for record in tf.data.TFRecordDataset(str(served(model) / WARMUP)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        asked.append(request.model_spec.signature_name)
        assert request.model_spec.name == model.__name__
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        expected = signatures[asked[-1]].structured_input_signature[1]
        assert {name: array.dtype for name, array in inputs.items()} == {
            name: spec.dtype.as_numpy_dtype for name, spec in expected.items()
        }
        for output in signatures[asked[-1]](**{name: tf.constant(array) for name, array in inputs.items()}).values():
            assert np.isfinite(output).all()
    assert sorted(asked) == sorted(signatures)


def test_without_the_requests_package_one_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis.predict_pb2", None)
    version = ds.export(brains(), tmp_path / "brains")
    assert capsys.readouterr().out == (
        f"{version} has no warm-up file: the first request to a server will be slow. For one: pip install"
        " tensorflow-serving-api\n"
    )
    assert not (version / WARMUP).exists() and (version / "saved_model.pb").is_file()


def test_wrong_input_is_one_line_with_the_next_step(tmp_path, capsys, segmenter):
    segmenter.save(tmp_path / "model.keras")
    (tmp_path / "file").write_text("")
    (tmp_path / "onnx" / "1").mkdir(parents=True)
    (tmp_path / "onnx" / "1" / "serving_default.onnx").write_text("")
    for model, out, *more, words in [
        (
            tmp_path,
            tmp_path / "a",
            "Expected a registration model (ds.models.registration_model, or a run of train-registration)",
        ),
        (tmp_path / "none", tmp_path / "a", "none. Check the path; a run folder holds its model as model.keras."),
        (tmp_path, tmp_path / "file", "which is a file. Choose another folder."),
        (
            tmp_path,
            tmp_path / "served" / "1",
            "path must be the folder of the served model, without a version, as in served/cells.",
        ),
        (
            tmp_path,
            tmp_path / "onnx",
            "holds versions in the format 'onnx', and a server reads one format. Choose another folder",
        ),
        (tmp_path, tmp_path / "a", "--format", "tflite", "Unknown format 'tflite'. Available: tensorflow, onnx."),
    ]:
        assert main(["export", "--model", str(model), "--out", str(out), *more]) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.count("\n") == 1 and words in output.err, output.err
    assert not (tmp_path / "a").exists() and not (tmp_path / "served").exists()


# Forks exports, which are then processes of their own, from one that has imported TensorFlow: `kill MOMENT` stops there
# and waits.
EXPORTS = """
import os, pathlib, resource, signal, sys
import deepsim_tf as ds
import tensorflow as tf

def stop():
    os.write(1, b"stopped\\n")
    signal.pause()

def save_half(root, folder, signatures, save=tf.saved_model.save):
    save(root, folder, signatures=signatures)
    os.remove(folder + "/saved_model.pb")
    stop()

def export(moment):
    model = ds.models.registration_model((8, 8), features=(2,))
    if moment == "half-written":
        tf.saved_model.save = save_half
    if moment == "whole":
        pathlib.Path.rename = lambda path, target: stop()
    if moment == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return ds.export(model, sys.argv[1], verbose=0)

for line in sys.stdin:
    children = []
    for moment in line.split():
        child = os.fork()
        if not child:
            try:
                export(moment)
                os._exit(0)
            except OSError as error:
                os.write(1, f"{error}\\n".encode())
            finally:
                os._exit(3)
        children.append(child)
        os.write(1, f"{child}\\n".encode())
    for child in children:
        os.write(1, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\\n".encode())
"""


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """(folder, say, hear): a served folder, and a process that exports to it."""
    folder = tmp_path_factory.mktemp("killed") / "cells"
    command, pipes = (
        [sys.executable, "-c", EXPORTS, str(folder)],
        {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True},
    )
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL, **pipes
    ) as process:

        def say(line):
            process.stdin.write(line + "\n")
            process.stdin.flush()

        yield folder, say, lambda: process.stdout.readline().strip()


def versions(folder):
    """What a server sees of a folder: sub-folders whose names are numbers."""
    return sorted(int(child.name) for child in folder.iterdir() if child.name.isdecimal())


def test_a_killed_export_leaves_no_version(exports):
    folder, say, hear = exports
    for moment in ("half-written", "whole"):
        say(moment)
        child = int(hear())
        assert hear() == "stopped"
        assert versions(folder) == [] and all(child.name.startswith(".") for child in folder.iterdir())
        os.kill(child, signal.SIGKILL)
        assert hear() == "-9"
        assert versions(folder) == [] and list(folder.iterdir())  # hidden debris, which no server looks at


def test_a_full_disk_names_the_folder_and_leaves_no_version(exports):
    folder, say, hear = exports
    before = sorted(folder.iterdir()) if folder.exists() else []
    say("full")
    hear()
    error = hear()
    assert str(folder) in error and error.startswith("[Errno"), error
    assert hear() == "3" and sorted(folder.iterdir()) == before


def test_exports_at_the_same_time_get_different_versions_after_the_highest(exports):
    folder, say, hear = exports
    (folder / "7").mkdir(parents=True)
    say("now now")
    assert [hear() for _ in range(4)][2:] == ["0", "0"]
    assert versions(folder) == [7, 8, 9]
    for version in (8, 9):
        assert {"saved_model.pb", "variables", "assets.extra"} <= {
            child.name for child in (folder / str(version)).iterdir()
        }
