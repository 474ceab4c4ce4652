"""What a user gave to a model, in words, and the checks of its structure before anything indexes it."""

from collections.abc import Mapping

import tensorflow as tf

from deepsim_tf import checks


def described(data, depth=2):
    """What `data` is, in a few words: types, keys and shapes, to so many levels."""
    if data is None:
        return "nothing"
    if isinstance(data, Mapping) and depth:
        return f"a dict of {_some([f'{key}: {described(value, depth - 1)}' for key, value in data.items()])}"
    if isinstance(data, (list, tuple)):
        inside = f" ({_some([described(value, depth - 1) for value in data])})" if depth else ""
        return f"a {type(data).__name__} of {len(data)}{inside}"
    if is_array(data):
        shape = "of any shape" if rank(data) is None else str(tuple(data.shape))
        return f"{_type_name(data)} {shape}"
    return type(data).__name__


def _some(parts):
    return "; ".join([*parts[:4], *(["..."] if len(parts) > 4 else [])])


def _type_name(array):
    try:
        return tf.as_dtype(array.dtype).name
    except TypeError:  # of another package
        return str(array.dtype)


def is_array(data):
    """Whether it has a shape and a type: an array, a tensor, or what describes one."""
    return hasattr(data, "shape") and hasattr(data, "dtype") and not isinstance(data, (Mapping, list, tuple))


def rank(data):
    """Number of axes of an array, or of what describes one; None where it is unknown."""
    shape = getattr(data, "shape", None)
    return None if shape is None or getattr(shape, "rank", 0) is None else len(shape)


def check_keys(who, data, keys, what, call):
    """Refuse what is no dict of just these keys.

    Args:
        who: the model, as the sentence begins.
        data: what was given.
        keys: the names that must be there, and no others.
        what: of the values, such as "images".
        call: the right call.
    """
    if isinstance(data, Mapping) and set(data) == set(keys):
        return
    expected = ", ".join(f'"{key}": {key}' for key in keys)
    raise ValueError(f"{who} takes {what} as {{{expected}}}. Received: {described(data)}. {call}")


def check_float_image(who, name, image, call):
    """Refuse what is no array of floats: `name`, the `image` that was given; the rest as in `check_keys`."""
    if not is_array(image):
        raise ValueError(f"{who} takes {name} as an array (batch, ...). Received: {described(image)}. {call}")
    checks.float_images(who, **{name: image})


def check_sizes(who, name, array, shape):
    """Refuse an array that is not (batch, *shape), as far as its sizes are known."""
    if not checks.may_be(array.shape, shape):
        expected = f"(batch, {', '.join(map(str, shape))})"
        raise ValueError(f"{who} was made for {name} of shape {expected}. Received: {name}.shape={tuple(array.shape)}.")


def check_labels(who, name, labels, shape, call):
    """Refuse what are no labels (batch, *shape), as far as their sizes are known."""
    if not is_array(labels):
        expected = f"(batch, {', '.join(map(str, shape))})"
        raise ValueError(f"{who} takes {name} as integers {expected}. Received: {described(labels)}. {call}")
    if not _type_name(labels).startswith(("int", "uint")):
        raise ValueError(
            f"{who} expects integer labels. Received: {name} of type {_type_name(labels)}. Convert them, as in"
            " astype('int32')."
        )
    check_sizes(who, name, labels, shape)


def finite_images(who, shape, **images):
    """Images of a step as float32 of known sizes, after checks on the device that they are so and finite.

    Args:
        who: as in `check_keys`.
        shape: their sizes, spatial ones and channels.
        images: tensors by name.

    Returns:
        A list of tensors (batch, *shape).
    """
    shaped = {name: with_shape(who, name, tf.cast(image, tf.float32), shape) for name, image in images.items()}
    return checks.finite_in_graph(who, **shaped)


def with_shape(who, name, tensor, shape):
    """A tensor (batch, *shape) whose sizes are known; where they were not, after a check on the device."""
    if tensor.shape.rank is not None and None not in tensor.shape[1:]:
        return tensor
    found, expected = tf.shape(tensor), f"(batch, {', '.join(map(str, shape))})"
    fits = tf.cond(
        tf.equal(tf.size(found), len(shape) + 1), lambda: tf.reduce_all(tf.equal(found[1:], shape)), lambda: False
    )
    message = f"{checks.MARKER}{who} was made for {name} of shape {expected}. Received {name} of sizes"
    with tf.control_dependencies([tf.debugging.Assert(fits, [message, found], summarize=9)]):  # all of them, not three
        return tf.ensure_shape(tf.identity(tensor), (None, *shape))
