"""Every argument check of the package and its wording.

ValueErrors that name the argument, what was expected and received.
"""

import contextlib
import dataclasses
import os
import re
import types
import typing

import numpy as np
import tensorflow as tf

MOST_CHANNELS = 4  # of an array of three axes that may be an image with channels or a volume
MARKER = "deepsim_tf: "  # begins the message of a check inside a graph; `graph_errors` finds it there


def known(argument, value, options):
    """Refuse a name that is not in the list, or among the keys, of the known ones."""
    if value not in tuple(options):  # of a list as value, a dict of options could only say that it has no hash
        raise ValueError(f"Unknown {argument} {value!r}. Available: {', '.join(map(str, options))}.")


@dataclasses.dataclass(frozen=True)
class Option:
    """An argument that an entry of a table offers by name, for recipes and the command.

    Args:
        kind: what it takes, as an annotation writes it: int, float, bool, str, None, list[int], list[str],
            typing.Literal["a", "b"], or several with |.
        about: what it is, in one line without a full stop, for help and docs.
    """

    kind: object
    about: str

    def parse(self, name, text):
        """The value that a text stands for, as on a command line: `9`, `0.1`, `true`, `none`, `level_1,level_2`."""
        for kind in _kinds(self.kind):
            with contextlib.suppress(ValueError):
                return _parsed(text, kind)
        raise ValueError(f"{name} must be {_words(self.kind)}. Received: {name}={text}.")


def options(what, name, values, tables):
    """Refuse options that an entry of a table does not have, and values of another kind than they take.

    Args:
        what: of what kind the entries are, such as "dataset".
        name: the entry whose options are given.
        values: dict from option to value.
        tables: dict from each entry's name to its options, a dict from name to Option.
    """
    for option, value in values.items():
        if option not in tables[name]:
            owners = ", ".join(repr(owner) for owner in tables if option in tables[owner])
            hint = f"It belongs to {what} {owners}. " if owners else ""
            hint += f"Available: {', '.join(tables[name]) or 'none'}."
            raise ValueError(f"{what} {name!r} has no option {option!r}. {hint}")
        if not is_a(value, tables[name][option].kind):
            expected = _words(tables[name][option].kind)
            raise ValueError(f"{option} of {what} {name!r} must be {expected}. Received: {option}={value!r}.")


def is_a(value, kind):
    """Whether a value is of a kind, as annotations write it.

    int, float (takes an int too), str, bool, None, dict, list[int], list[str], tuple[int, ...], Literal, or several
    with |.
    """
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return any(is_a(value, part) for part in parts)
    if origin is typing.Literal:
        return isinstance(value, str) and value in parts
    if origin in (tuple, list):  # a list may be written as a tuple, which JSON makes one
        return isinstance(value, (list, tuple)[origin is tuple :]) and all(is_a(item, parts[0]) for item in value)
    if kind is None or isinstance(value, bool):
        return value is None if kind is None else kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _kinds(kind):
    """The alternatives of a kind, of which text comes last: everything is text."""
    parts = typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    return sorted(parts, key=lambda part: part is str)


def _parsed(text, kind):
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return [parts[0](part) for part in text.split(",")]
    words = {word: word for word in parts} if origin is typing.Literal else {}
    words |= {"none": None} if kind in (None, types.NoneType) else {}
    words |= {"true": True, "false": False} if kind is bool else {}
    if words:
        if text not in words:
            raise ValueError
        return words[text]
    return kind(text)


def _words(kind):
    """A kind in words."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", list[int]: "whole numbers"}
    names |= {list[str]: "names", None: "none", types.NoneType: "none", os.PathLike: "a path"}
    found = []
    for part in _kinds(kind):
        literal = typing.get_origin(part) is typing.Literal
        found += map(repr, typing.get_args(part)) if literal else [names.get(part) or f"a {part.__name__}"]
    return " or ".join(found)


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


def equal_counts(x, y=None):
    """Refuse arrays of unequal length, on which Keras fails with an error of its own making, and empty ones.

    Args:
        x, y: an array, or a dict of arrays by name, each.
    """
    named = {}
    for what, data in (("images", x), ("labels", y)):
        named |= data if isinstance(data, dict) else {} if data is None else {what: data}
    counts = {name: array.shape[0] for name, array in named.items() if len(array.shape)}
    found = ", ".join(f"{name}: {count}" for name, count in counts.items())
    if 0 in counts.values():
        raise ValueError(f"Expected at least one image. Received: {found}.")
    if len(set(counts.values())) > 1:
        raise ValueError(f"Expected equally many {' and '.join(counts)}. Received: {found}.")


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


def spatial_axes(image):
    """How many spatial axes an array (*spatial) or (*spatial, channels) has, 2 or 3, where nothing else says it.

    The last of three axes counts as channels if it has at most `MOST_CHANNELS` entries: an image in colour is likelier
    than so thin a volume.
    """
    return 2 if image.ndim == 2 or (image.ndim == 3 and image.shape[-1] <= MOST_CHANNELS) else 3


def channel_count(channels):
    """The number of channels of images, after a check."""
    if not isinstance(channels, (int, np.integer)) or isinstance(channels, bool) or channels < 1:
        raise ValueError(
            "channels must be the number of channels of the images, 1 for grey and 3 for RGB. Received:"
            f" channels={channels!r}."
        )
    return int(channels)


def images_of_model(who, made_by, shape, channels, **images):
    """Refuse images of another rank, size or number of channels than a model was made for.

    The last axis of a shape of three may be meant as channels, and nothing tells it from a thin volume before images
    come: then the error says which call makes the model for them.

    Args:
        who: begins the error, as in "A segmentation model".
        made_by: the call that makes such a model, as in "segmentation_model({}, 3)", with {} for the shape.
        shape, channels: of the model.
        images: by name, (batch, *shape, channels).
    """
    expected = (*shape, channels)
    for name, image in images.items():
        if not hasattr(image, "shape"):
            received = f"{name} of type {type(image).__name__}"
        elif may_be(image.shape, expected):
            continue
        else:
            received = f"{name}.shape={tuple(image.shape)}"
        found = tuple(getattr(image, "shape", ())[1:])
        raise ValueError(
            f"{who} was made for images (batch, {', '.join(map(str, expected))}). Received: {received}."
            + _call_for(made_by, shape, channels, found)
        )


def may_be(shape, expected):
    """Whether a shape, of which some sizes or even their number may be unknown, can be (batch, *expected)."""
    if getattr(shape, "rank", 0) is None:
        return True
    found = tuple(shape)[1:]
    return len(found) == len(expected) and all(n in (None, m) for n, m in zip(found, expected, strict=True))


def _call_for(made_by, shape, channels, found):
    """How to come by a model for images (batch, *found), where these differ in rank or channels; else nothing."""
    channel_axis = " Add the axis of channels, as in images[..., None]."
    if found == shape and len(shape) == 2:
        return channel_axis
    if len(found) not in (3, 4) or None in found or (len(found) == len(shape) + 1 and found[-1] == channels):
        return ""
    call = made_by.format(f"{found[:-1]}" + (f", channels={found[-1]}" if found[-1] != 1 else ""))
    hint = f" Images of {len(found) - 1} dimensions and {found[-1]} channel(s) need {call}."
    return (
        f"{hint} If they are volumes of one channel, add its axis, as in images[..., None]." if found == shape else hint
    )


def float_images(who, **images):
    """Refuse integer images: their scale is anybody's guess."""
    remedy = "Divide by the largest value of the format, for example 255, and pass float32."
    _refuse_integers(f"{who} expects float images, nominally in [0, 1].", remedy, images)


def float_fields(who, **fields):
    """Refuse displacements of integers: no network gives them, and their rounding is anybody's guess."""
    _refuse_integers(f"{who} expects a field of floats, in voxels.", "Convert it, as in astype('float32').", fields)


def _refuse_integers(expected, remedy, arrays):
    for name, array in arrays.items():
        dtype = tf.as_dtype(array.dtype)
        if not dtype.is_floating:
            raise ValueError(f"{expected} Received: {name} of type {dtype.name}. {remedy}")


def finite_array(who, what="images", /, **arrays):
    """Refuse NaN and infinity in NumPy arrays."""
    for name, array in arrays.items():
        bad = int(np.size(array) - np.count_nonzero(np.isfinite(array)))
        if bad:
            raise ValueError(
                f"{who} expects finite {what}. Received: {name} with {bad} values that are NaN or infinite."
            )


def finite_in_graph(who, **images):
    """The images again, after a check on the device that no voxel is NaN or infinite; see `graph_errors`."""
    message = MARKER + who + " expects finite images, but {} holds NaN or infinity."
    return [tf.debugging.check_numerics(image, message.format(name)) for name, image in images.items()]


def weights_in_graph(who, weights):
    """The weights again, after a check on the device that none is negative; see `graph_errors`.

    NaN passes: a warped mask has it where the flow has, and a step whose loss is NaN can be skipped.
    """
    message, low = f"{who} expects weights of voxels from 0 on. Received: weights from", tf.reduce_min(weights)
    if tf.executing_eagerly():
        if low < 0:
            raise ValueError(f"{message} {low.numpy():g}.")
        return weights
    with tf.control_dependencies([tf.debugging.Assert(~(low < 0), [MARKER + message, low])]):
        return tf.identity(weights)


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
