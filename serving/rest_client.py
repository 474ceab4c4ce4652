"""Register two image files over REST.

    python serving/rest_client.py moving.tif fixed.tif --model u373 --out registered.npz

Needs numpy, pillow, nibabel and requests, and no TensorFlow. Numbers travel as text: for volumes, take grpc_client.py.
"""

import numpy as np
import requests
from common import main


def call(address, model, signature, inputs):
    """One request: arrays by name to a signature of the model, and its outputs by name."""
    body = {"signature_name": signature, "inputs": {name: array.tolist() for name, array in inputs.items()}}
    response = requests.post(f"{address}/v1/models/{model}:predict", json=body, timeout=600)
    if not response.ok:
        raise requests.HTTPError(f"{response.status_code} {response.text}")
    return {name: np.asarray(values, "float32") for name, values in response.json()["outputs"].items()}


if __name__ == "__main__":
    main(__doc__, "http://localhost:8501", call, requests.RequestException)
