"""The pictures of registered pairs inside the report: PNG as data URIs, which need no file beside the page."""

import base64
import io

import numpy as np
from PIL import Image

from deepsim_tf.figures.panels import grey_window

SLICES = (5, 3, 3)  # of a volume, along each of its axes
MAX_SIDE = 512  # pixels; larger images are reduced


def slices_of(pair):
    """The pictures of a pair, one set a slice: its text and data URIs of moving, warped (by method) and fixed.

    The slice in the middle of a volume's first axis is the one to start with, `first`.

    Args:
        pair: {"name": ..., "moving": image, "warped": {method: image}, "fixed": image}; images (h, w) or (d, h, w),
            with or without a last axis of 1.

    Raises:
        ValueError: if a part is missing, or the images differ in shape.
    """
    moving, fixed, warped = _checked(pair)
    window = grey_window(
        moving, fixed
    )  # one for all, so that a difference in brightness between the images stays visible
    shape = fixed.shape
    cuts = {"": ()}  # an image has no slices to choose from
    if len(shape) == 3:
        places = [
            (axis, n * (k + 1) // (count + 1))
            for axis, (n, count) in enumerate(zip(shape, SLICES))
            for k in range(count)
        ]
        cuts = {f"axis {axis + 1}, slice {i + 1} of {shape[axis]}": (slice(None),) * axis + (i,) for axis, i in places}

    return [
        {
            "text": text,
            "first": cut in ((), (shape[0] // 2,)),
            "moving": _picture(moving[cut], window),
            "warped": {method: _picture(image[cut], window) for method, image in warped.items()},
            "fixed": _picture(fixed[cut], window),
        }
        for text, cut in cuts.items()
    ]


def png_uri(data):
    """The bytes of a PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def _picture(image, window):
    low, high = window["vmin"], window["vmax"]
    grey = np.clip((image - low) / max(high - low, 1e-12) * 255, 0, 255).round().astype("uint8")
    shown, file = Image.fromarray(grey), io.BytesIO()
    shown.thumbnail((MAX_SIDE, MAX_SIDE))
    shown.save(file, "png", optimize=True)
    return png_uri(file.getvalue())


def _checked(pair):
    """The pair's moving, fixed and warped images as arrays without the axis of 1, after a check of their grid."""
    name = pair.get("name")
    warped = pair.get("warped") or {}
    if not warped or not {"name", "moving", "fixed"} <= set(pair):
        received = ", ".join(map(str, pair)) + ("" if warped else ", warped by no method")
        raise ValueError(
            f"The pair {name!r} cannot be shown. Expected: name, moving, fixed, and warped images by method. Received:"
            f" {received}."
        )
    arrays = {}
    images = {
        "fixed": pair["fixed"],
        "moving": pair["moving"],
        **{f"warped by {method}": image for method, image in warped.items()},
    }
    for what, image in images.items():
        array = np.asarray(image, "float32")
        array = array[..., 0] if array.ndim > 2 and array.shape[-1] == 1 else array
        arrays[what] = array
        if array.ndim not in (2, 3) or array.shape != arrays["fixed"].shape:
            expected = (
                "(h, w) or (d, h, w), with or without a last axis of 1" if what == "fixed" else arrays["fixed"].shape
            )
            raise ValueError(
                f"The pair {name!r} cannot be shown: {what} has another grid. Expected: {expected}. Received:"
                f" {array.shape}."
            )
    return arrays["moving"], arrays["fixed"], {method: arrays[f"warped by {method}"] for method in warped}
