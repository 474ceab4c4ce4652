"""The functions of a served model as ONNX files, for servers and programs without TensorFlow."""

import importlib
import warnings

OPSET = 18  # of ONNX: read by onnxruntime since 1.14


def converter():
    """The converter's module.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return importlib.import_module("tf2onnx")
    except ModuleNotFoundError:
        raise ValueError(
            "format 'onnx' needs the converter tf2onnx. Install it: pip install 'tf2onnx>=1.17,<1.18'"
        ) from None


def write_onnx(folder, functions):
    """Write `folder/NAME.onnx` for each function, with weights, named inputs and outputs, any batch and size.

    The checks of what is sent (finite images, contrast, equal numbers) do not exist in ONNX, and are left out.
    """
    folder.mkdir()
    for name, function in functions.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter on names of NumPy's and ONNX's past
            file = str(folder / f"{name}.onnx")
            converter().convert.from_function(
                function, input_signature=function.input_signature, opset=OPSET, output_path=file
            )
