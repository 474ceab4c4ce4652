"""The clients of serving/ against an exported model.

Their requests over REST and gRPC, answered as TensorFlow Serving answers.

The server's own program is in no package registry. These small servers know its two protocols, and refuse what the
signature does not have.
"""

import deepsim_tf as ds  # noqa: F401  isort: skip
import concurrent.futures
import contextlib
import http.server
import importlib
import json
import runpy
import sys
import threading

import grpc
import nibabel
import numpy as np
import pytest
import tensorflow as tf
from exports import ask, cells, loaded, raw
from PIL import Image
from places import ROOT
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

SERVING = ROOT / "serving"


def answer(model, signature, inputs):
    """Outputs by name, after the checks that TensorFlow Serving makes.

    Exactly the named inputs, their types and ranks.
    """
    if model != "cells" or signature not in loaded(cells).signatures:
        raise LookupError(f"Servable not found for request: {model} {signature}")
    specs = loaded(cells).signatures[signature].structured_input_signature[1]
    for name in set(inputs) ^ set(specs):
        raise LookupError(f"input {name} is missing or unknown")
    for name, spec in specs.items():
        if inputs[name].dtype != spec.dtype.as_numpy_dtype or not spec.shape.is_compatible_with(inputs[name].shape):
            raise LookupError(f"{name} has type {inputs[name].dtype} and shape {inputs[name].shape}, expected {spec}")
    return ask(cells, signature, **inputs)


class Rest(http.server.BaseHTTPRequestHandler):
    """POST /v1/models/NAME:predict in the columnar format.

    {"signature_name", "inputs": {name: list}} -> {"outputs": {name: list}}.
    """

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        start, _, rest = self.path.partition("/v1/models/")
        model, _, method = rest.partition(":")
        try:
            assert (start, method) == ("", "predict") and set(request) == {"signature_name", "inputs"}
            specs = loaded(cells).signatures[request["signature_name"]].structured_input_signature[1]
            arrays = {
                name: np.array(values, specs[name].dtype.as_numpy_dtype) for name, values in request["inputs"].items()
            }
            code, reply = (
                200,
                {"outputs": {name: a.tolist() for name, a in answer(model, request["signature_name"], arrays).items()}},
            )
        except (LookupError, AssertionError) as error:
            code, reply = 404, {"error": str(error)}
        body = json.dumps(reply).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Grpc(prediction_service_pb2_grpc.PredictionServiceServicer):
    """PredictionService.Predict."""

    def Predict(self, request, context):
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        try:
            outputs = answer(request.model_spec.name, request.model_spec.signature_name, inputs)
        except LookupError as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        return predict_pb2.PredictResponse(
            outputs={name: tf.make_tensor_proto(array) for name, array in outputs.items()}
        )


@contextlib.contextmanager
def rest():
    """The address of a REST server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rest) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def remote_calls():
    """The address of a gRPC server."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Grpc(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def run(monkeypatch, script, *arguments):
    monkeypatch.syspath_prepend(SERVING)
    monkeypatch.delitem(sys.modules, "common", raising=False)
    monkeypatch.setattr("sys.argv", [script, *map(str, arguments)])
    runpy.run_path(str(SERVING / script), run_name="__main__")


@pytest.fixture
def files(tmp_path):
    """A moving image as a TIFF of 16 bits, and a fixed one as npy; and both as arrays."""
    moving, fixed = (raw((30, 37), seed=k) for k in (1, 2))
    Image.fromarray(moving[0, ..., 0].astype("uint16")).save(tmp_path / "moving.tif")
    np.save(tmp_path / "fixed.npy", fixed[0, ..., 0].astype("int16"))
    return [tmp_path / "moving.tif", tmp_path / "fixed.npy"], moving, fixed


@pytest.mark.parametrize(("script", "server"), [("rest_client.py", rest), ("grpc_client.py", remote_calls)])
def test_a_client_registers_two_files(monkeypatch, capsys, tmp_path, files, script, server):
    paths, moving, fixed = files
    with server() as address:
        run(
            monkeypatch,
            script,
            *paths,
            "--model",
            "cells",
            "--address",
            address,
            "--out",
            tmp_path / "out.npz",
            "--similarity",
        )
        with pytest.raises(
            SystemExit, match="The server did not answer as expected: .*Servable not found for request: other"
        ):
            run(monkeypatch, script, *paths, "--model", "other", "--address", address, "--out", tmp_path / "none.npz")
    expected, found = ask(cells, "serving_default", moving=moving, fixed=fixed), np.load(tmp_path / "out.npz")
    for name in ("warped", "flow"):
        np.testing.assert_allclose(found[name], expected[name][0], rtol=1e-5, atol=1e-5)
    before = ask(cells, "similarity", fixed=fixed, warped=moving)["similarity"][0]
    assert f"DeepSim before: {before:.4f}" in capsys.readouterr().out and not (tmp_path / "none.npz").exists()


def test_a_client_reads_channels_where_the_file_has_them(monkeypatch, tmp_path, rng):
    monkeypatch.syspath_prepend(SERVING)
    monkeypatch.delitem(sys.modules, "common", raising=False)
    read = importlib.import_module("common").read
    colours = rng.integers(0, 256, (6, 7, 3)).astype("uint8")
    Image.fromarray(colours).save(tmp_path / "rgb.png")
    np.testing.assert_array_equal(read(str(tmp_path / "rgb.png")), colours[None])
    volume = rng.random((4, 5, 6, 2)).astype("float32")
    np.save(tmp_path / "two.npy", volume)
    np.testing.assert_array_equal(read(str(tmp_path / "two.npy"), 2), volume[None])
    nibabel.save(nibabel.Nifti1Image(volume[:, :, :, None], np.eye(4)), tmp_path / "two.nii.gz")  # (x, y, z, time, c)
    np.testing.assert_array_equal(read(str(tmp_path / "two.nii.gz"), 2), volume[None])
    assert read(str(tmp_path / "rgb.png")).dtype == np.float32
    with pytest.raises(SystemExit, match=r"two.npy holds an array of shape \(4, 5, 6, 2\). Expected 3 channels"):
        read(str(tmp_path / "two.npy"), 3)
