"""Register two image files over gRPC.

    python serving/grpc_client.py moving.nii.gz fixed.nii.gz --model hippocampus --out registered.npz

Needs numpy, pillow, nibabel and tensorflow-serving-api (pip install tensorflow-serving-api).
"""

import grpc
import tensorflow as tf
from common import main
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

UNLIMITED = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]  # 4 MB by default, less than a volume


def call(address, model, signature, inputs):
    """One request: arrays by name to a signature of the model, and its outputs by name."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    with grpc.insecure_channel(address, options=UNLIMITED) as channel:
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=600)
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


if __name__ == "__main__":
    main(__doc__, "localhost:8500", call, grpc.RpcError)
