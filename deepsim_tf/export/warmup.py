"""The warm-up file of TensorFlow Serving: requests that the server sends to a new version before anybody else does."""

import importlib

import numpy as np
import tensorflow as tf

FILE = "assets.extra/tf_serving_warmup_requests"
SIDE = 8  # voxels a side: the network works on the model's grid, whatever the images' size


def write_warmup(folder, name, functions):
    """Write the warm-up file of an exported model: one request for each signature.

    Args:
        folder: the version folder.
        name: of the served model.
        functions: dict of tf.functions with an input signature.

    Returns:
        Whether it was written: it needs `tensorflow-serving-api`, which has the format of the requests.
    """
    try:
        predict_pb2, prediction_log_pb2 = (
            importlib.import_module(f"tensorflow_serving.apis.{part}_pb2") for part in ("predict", "prediction_log")
        )
    except ModuleNotFoundError:
        return False
    file = folder / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, function in functions.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = name, signature
            for specification in function.input_signature:
                request.inputs[specification.name].CopyFrom(tf.make_tensor_proto(example(specification)))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
    return True


def example(specification):
    """A batch of one small input: a ramp, because intensity rules refuse an image without contrast."""
    _, *spatial, last = specification.shape
    shape = (1, *[SIDE] * len(spatial), SIDE if last is None else last)
    return np.linspace(0, 1, int(np.prod(shape))).reshape(shape).astype(specification.dtype.as_numpy_dtype)
