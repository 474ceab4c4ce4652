"""The pictures of registered pairs inside the report: PNG as data URIs, which need no file beside the page."""

import base64
import io

import numpy as np
from PIL import Image

from deepsim_tf.figures.shown import grey_window, in_window, shown, with_channels

SLICES = (5, 3, 3)  # of a volume, along each of its axes
MAX_SIDE = 512  # pixels; larger images are reduced


def slices_of(pair):
    """The pictures of a pair, one set a slice: its text and data URIs of moving, warped (by method) and fixed.

    The slice in the middle of a volume's first axis is the one to start with, `first`.

    Args:
        pair: {"name": ..., "moving": image, "warped": {method: image}, "fixed": image}; images (h, w, channels) or
            (d, h, w, channels), or without channels. Three channels are shown as RGB, of others the first one.

    Raises:
        ValueError: if a part is missing, or the images differ in their grid.
    """
    moving, fixed, warped, shape = _checked(pair)
    # One window for all, so that a difference in brightness between the images stays visible.
    window = grey_window(moving, fixed)
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
    picture = Image.fromarray((in_window(image, window) * 255).round().astype("uint8"))
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    picture.save(file, "png", optimize=True)
    return png_uri(file.getvalue())


def _checked(pair):
    """The pair's moving, fixed and warped images as they are `shown`, and their grid, after a check of it."""
    name = pair.get("name")
    warped = pair.get("warped") or {}
    if not warped or not {"name", "moving", "fixed"} <= set(pair):
        received = ", ".join(map(str, pair)) + ("" if warped else ", warped by no method")
        raise ValueError(
            f"The pair {name!r} cannot be shown. Expected: name, moving, fixed, and warped images by method. Received:"
            f" {received}."
        )
    grid = with_channels(pair["fixed"], f"fixed of the pair {name!r}").shape[:-1]

    def checked(image, what):
        return shown(with_channels(np.asarray(image, "float32"), f"{what} of the pair {name!r}", grid))

    moving, fixed = (checked(pair[what], what) for what in ("moving", "fixed"))
    return moving, fixed, {method: checked(image, f"warped by {method}") for method, image in warped.items()}, grid
