"""Runs a SavedModel through TensorFlow's C functions, without TensorFlow's Python.

TensorFlow Serving is built on the same runtime.

    python c_client.py FOLDER_OF_LIBRARIES EXPORTED ARRAYS.npz RESULTS.npz MOVING=NAME:0 FIXED=NAME:0 - WARPED=NAME:0
    FLOW=NAME:1

Before the dash: which tensor each array of ARRAYS.npz feeds; after it: which tensors come back, all float32.
"""

import ctypes
import sys

import numpy as np

POINTERS = [
    "TF_NewStatus",
    "TF_NewGraph",
    "TF_NewSessionOptions",
    "TF_AllocateTensor",
    "TF_TensorData",
    "TF_GraphOperationByName",
]
POINTERS += ["TF_LoadSessionFromSavedModel"]
FLOAT = 1  # TF_FLOAT


class Output(ctypes.Structure):
    """TF_Output: an output of an operation."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


library, exported, arrays, results, *names = sys.argv[1:]
tf = ctypes.CDLL(f"{library}/libtensorflow_cc.so.2")
for function in POINTERS:
    getattr(tf, function).restype = ctypes.c_void_p
tf.TF_Message.restype, tf.TF_Dim.restype = ctypes.c_char_p, ctypes.c_int64
pointer = ctypes.c_void_p
status, graph = pointer(tf.TF_NewStatus()), pointer(tf.TF_NewGraph())


def check():
    if tf.TF_GetCode(status):
        sys.exit(tf.TF_Message(status).decode())


def output(name):
    operation, index = name.split(":")
    found = tf.TF_GraphOperationByName(graph, operation.encode())
    return Output(found, int(index)) if found else sys.exit(f"no operation {operation}")


def tensor(array):
    array = np.ascontiguousarray(array, np.float32)
    made = pointer(
        tf.TF_AllocateTensor(
            FLOAT, (ctypes.c_int64 * array.ndim)(*array.shape), array.ndim, ctypes.c_size_t(array.nbytes)
        )
    )
    ctypes.memmove(pointer(tf.TF_TensorData(made)), array.ctypes.data, array.nbytes)
    return made


def array(made):
    made = pointer(made)
    shape = [tf.TF_Dim(made, axis) for axis in range(tf.TF_NumDims(made))]
    values = ctypes.cast(tf.TF_TensorData(made), ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(values, shape).copy()


tags = (ctypes.c_char_p * 1)(b"serve")
options = pointer(tf.TF_NewSessionOptions())
session = pointer(tf.TF_LoadSessionFromSavedModel(options, None, exported.encode(), tags, 1, graph, None, status))
check()
feeds, fetches = (
    [pair.split("=") for pair in part] for part in (names[: names.index("-")], names[names.index("-") + 1 :])
)
stored = np.load(arrays)
inputs = (Output * len(feeds))(*[output(name) for _, name in feeds])
values = (pointer * len(feeds))(*[tensor(stored[key]) for key, _ in feeds])
outputs, returned = (Output * len(fetches))(*[output(name) for _, name in fetches]), (pointer * len(fetches))()
tf.TF_SessionRun(session, None, inputs, values, len(feeds), outputs, returned, len(fetches), None, 0, None, status)
check()
np.savez(results, **{key: array(value) for (key, _), value in zip(fetches, returned, strict=True)})
assert "tensorflow" not in sys.modules
