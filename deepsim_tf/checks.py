"""Every argument check of the package and its wording.

ValueErrors that name the argument, what was expected and received.
"""

import contextlib
import os
import re

import numpy as np
import tensorflow as tf

MARKER = "deepsim_tf: "  # begins the message of a check inside a graph; `graph_errors` finds it there


def known(argument, value, options):
    """Refuse a name that is not in the list of known ones."""
    if value not in options:
        raise ValueError(f"Unknown {argument} {value!r}. Available: {', '.join(map(str, options))}.")


def image_shape(shape):
    """The spatial shape of 2-D or 3-D images, as a tuple of ints."""
    shape = tuple(int(n) for n in shape) if isinstance(shape, (tuple, list)) else shape
    if not isinstance(shape, tuple) or len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(
            "shape must be the spatial shape of 2-D or 3-D images, without channels, as in (128, 128). Received:"
            f" shape={shape}."
        )
    return shape


def voxel_frame(spacing, orientation, ndim):
    """The voxel size in mm as a tuple of floats, and the axis codes of a volume as text, after a check.

    None stays None.
    """
    spacing = None if spacing is None else tuple(float(s) for s in spacing)
    if spacing is not None and (len(spacing) != ndim or not all(0 < s < float("inf") for s in spacing)):
        raise ValueError(f"spacing must be {ndim} voxel sizes in mm, above 0. Received: spacing={spacing}.")
    if orientation is not None:
        orientation = "".join(orientation)
        if ndim != 3 or sorted({"L": "R", "P": "A", "I": "S"}.get(code, code) for code in orientation) != [
            "A",
            "R",
            "S",
        ]:
            expected = "where the three axes of a volume point, as in 'RAS'"
            raise ValueError(f"orientation must say {expected}. Received: {orientation!r} for {ndim}-D images.")
    return spacing, orientation


def equal_shapes(who, **tensors):
    """Refuse two tensors whose known sizes differ: broadcasting a batch of 1 over a batch of 4 is never meant."""
    (name_a, a), (name_b, b) = tensors.items()
    a, b = tuple(a.shape), tuple(b.shape)
    if len(a) != len(b) or any(m is not None and n is not None and m != n for m, n in zip(a, b, strict=True)):
        raise ValueError(f"{who} compares images of equal shape. Received: {name_a}.shape={a}, {name_b}.shape={b}.")


def equal_counts(images):
    """Refuse a dict of arrays of unequal length, on which Keras fails with an error of its own making."""
    if isinstance(images, dict) and len({len(array) for array in images.values()}) > 1:
        counts = ", ".join(f"{name}: {len(array)}" for name, array in images.items())
        raise ValueError(f"Expected as many moving as fixed images. Received: {counts}.")


def image_rank(who, name, image, ndim=None):
    """Refuse a tensor that is not (batch, *spatial, channels) with two or three spatial axes, or `ndim` of them."""
    found = len(image.shape) - 2
    if found not in (2, 3) if ndim is None else found != ndim:
        expected = (
            "2-D or 3-D images, (batch, *spatial, channels)"
            if ndim is None
            else f"{ndim}-D images, (batch, *spatial, channels)"
        )
        raise ValueError(f"{who} expects {expected}. Received: {name}.shape={tuple(image.shape)}.")


def float_images(who, **images):
    """Refuse integer images: their scale is anybody's guess."""
    for name, image in images.items():
        if not tf.as_dtype(image.dtype).is_floating:
            raise ValueError(
                f"{who} expects float images, nominally in [0, 1]. Received: {name} of type"
                f" {tf.as_dtype(image.dtype).name}."
                " Divide by the largest value of the format, for example 255, and pass float32."
            )


def finite_array(who, **arrays):
    """Refuse NaN and infinity in NumPy arrays."""
    for name, array in arrays.items():
        bad = int(np.size(array) - np.count_nonzero(np.isfinite(array)))
        if bad:
            raise ValueError(
                f"{who} expects finite images. Received: {name} with {bad} values that are NaN or infinite."
            )


def finite_in_graph(who, **images):
    """The images again, after a check on the device that no voxel is NaN or infinite; see `graph_errors`."""
    message = MARKER + who + " expects finite images, but {} holds NaN or infinity."
    return [tf.debugging.check_numerics(image, message.format(name)) for name, image in images.items()]


def labels_in_graph(who, labels, classes):
    """The labels again, after a check on the device that all lie in 0 ..

    classes - 1 (None: any from 0 on); see `graph_errors`.
    """
    if not tf.as_dtype(labels.dtype).is_integer:
        found = tf.as_dtype(labels.dtype).name
        raise ValueError(
            f"{who} expects integer labels. Received: labels of type {found}. Convert them, as in astype('int32')."
        )
    labels = tf.cast(labels, tf.int32)
    low, high = tf.reduce_min(labels), tf.reduce_max(labels)
    expected = "from 0 on" if classes is None else f"from 0 to {classes - 1} (classes={classes})"
    message = f"{MARKER}{who} expects labels {expected}. Received: labels from"
    valid = low >= 0 if classes is None else tf.logical_and(low >= 0, high < classes)
    with tf.control_dependencies([tf.debugging.Assert(valid, [message, low, "to", high])]):
        return tf.identity(labels)


@contextlib.contextmanager
def graph_errors():
    """Turn the failure of a check inside a TensorFlow graph, or of reading a file for it, into its ValueError."""
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.UnknownError) as error:
        # A ValueError of the function that reads images (tf.numpy_function) arrives as text, with its traceback.
        read = re.findall(r"^(?:.*: )?ValueError: (.*)$", str(error), re.MULTILINE)
        if read:
            raise ValueError(read[-1]) from None
        line = re.search(MARKER + "(.*)", str(error))
        if line is None:
            raise
        # check_numerics ends with " : Tensor had NaN values"; Assert writes its data as "[message] [3] [to] [5]".
        message = line.group(1).split(" : Tensor had")[0].replace("] [", " ").rstrip("].")
        raise ValueError(f"{message}.") from None


def existing_file(path, what):
    """Refuse a path where no file is."""
    if not os.path.isfile(path):
        raise ValueError(f"No {what} at {path}. Check the path; a run folder holds its model as model.keras.")
