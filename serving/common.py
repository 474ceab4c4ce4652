"""What the two clients share: the command line, reading two image files, and writing what comes back."""

import argparse
import sys

import nibabel
import numpy as np
from PIL import Image


def main(description, address, call, errors):
    """Register two image files with a served model.

    Args:
        description: of the command.
        address: of the server, by default.
        call: `call(address, model, signature, inputs)`, which sends a dict of arrays and returns one.
        errors: exceptions of the transport, which end in one line.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("moving", help="image file: PNG, TIFF, NIfTI, MGZ or npy")
    parser.add_argument("fixed", help="image file of the same kind")
    parser.add_argument(
        "--channels", type=int, default=1, help="of NIfTI, MGZ and npy files that hold several, on the last axis"
    )
    parser.add_argument("--model", required=True, help="name of the served model")
    parser.add_argument("--address", default=address, help=f"of the server; default: {address}")
    parser.add_argument(
        "--out", default="registered.npz", help="file for the arrays warped and flow; default: registered.npz"
    )
    parser.add_argument(
        "--similarity", action="store_true", help="print DeepSim before and after (models that were trained with it)"
    )
    arguments = parser.parse_args()
    moving, fixed = (read(path, arguments.channels) for path in (arguments.moving, arguments.fixed))
    try:
        result = call(arguments.address, arguments.model, "serving_default", {"moving": moving, "fixed": fixed})
        np.savez_compressed(arguments.out, **{name: array[0] for name, array in result.items()})
        print(f"Wrote {arguments.out}: {', '.join(f'{name} {array[0].shape}' for name, array in result.items())}")
        for when, image in (("before", moving), ("after", result["warped"])) if arguments.similarity else ():
            measured = call(arguments.address, arguments.model, "similarity", {"fixed": fixed, "warped": image})
            print(f"DeepSim {when}: {measured['similarity'][0]:.4f}")
    except errors as error:
        sys.exit(f"The server did not answer as expected: {' '.join(str(error).split())}")


def read(path, channels=1):
    """A batch of one image, (1, *spatial, channels) float32, with its intensities as they are.

    The model has the rule that scales them. PNG and TIFF say by themselves whether they are in colour.
    """
    if path.endswith(".npy"):
        image = np.load(path, allow_pickle=False)
    elif path.endswith((".nii", ".nii.gz", ".mgz")):
        image = np.asarray(nibabel.load(path).dataobj)
    else:
        with Image.open(path) as file:
            image = np.asarray(file)
            channels = image.shape[-1] if image.ndim == 3 else 1
    if channels == 1:
        image = image[..., None]
    elif image.shape[-1] != channels:
        sys.exit(f"{path} holds an array of shape {image.shape}. Expected {channels} channels on the last axis.")
    spatial = [n for axis, n in enumerate(image.shape[:-1]) if axis < 3 or n > 1]  # NIfTI's time comes before channels
    return image.astype("float32").reshape(1, *spatial, channels)
