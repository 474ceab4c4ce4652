"""From the axes of the array in a file to those of an image: (*spatial, channels)."""

from typing import NamedTuple

import numpy as np

from deepsim_tf.formats.format import AXES, UnsuitableError

HINTS = {
    "t": "; nibabel takes one out with image.slicer[..., 0]. Where the last axis holds channels, say so in a NIfTI"
    " file: intent 1007 (vector), or the channels on the fifth axis",
    "?": ". Where the last one holds channels, say how many (channels=, --channels)",
}


class Layout(NamedTuple):
    """Where the axes of an image are in a stored array."""

    shape: tuple  # spatial
    channels: int
    dropped: tuple  # axes of size 1 that belong to the format, not to the image
    channel_axis: int | None  # None: there is none


def layout(shape, axes, path):
    """The Layout of an array of a shape with these axes.

    Raises:
        UnsuitableError: no 2-D or 3-D image, such as a series.
    """
    spatial = [axis for axis, letter in enumerate(axes) if letter in "xyz"]
    while len(spatial) > 2 and shape[spatial[-1]] == 1:
        spatial.pop()
    channel = next((axis for axis, letter in enumerate(axes) if letter == "c" and shape[axis] > 1), None)
    kept = [*spatial, *([] if channel is None else [channel])]
    dropped = tuple(axis for axis in range(len(axes)) if axis not in kept)
    surplus = [axes[axis] for axis in dropped if shape[axis] != 1]
    if surplus or len(spatial) not in (2, 3) or 0 in shape:
        found = ", ".join(AXES[letter] for letter in axes) or "none"
        raise UnsuitableError(
            f"{path} holds an array of shape {shape}. Expected a 2-D or 3-D image: take one volume out of it. Its axes"
            f" are {found}{HINTS.get(surplus[0], '') if surplus else ''}."
        )
    return Layout(tuple(shape[axis] for axis in spatial), 1 if channel is None else shape[channel], dropped, channel)


def as_image(array, axes, path):
    """A stored array as an image (*spatial, channels)."""
    found = layout(array.shape, axes, path)
    array = array[..., None] if found.channel_axis is None else np.moveaxis(array, found.channel_axis, -1)
    return array.reshape(*found.shape, found.channels)


def as_labels(array, axes, path):
    """A stored array as labels (*spatial).

    Raises:
        UnsuitableError: several channels.
    """
    found = layout(array.shape, axes, path)
    check_labels(found.channels, path)
    return array.reshape(found.shape)


def channel_count(channels):
    """A number of channels in words."""
    return f"{channels} channel{'s' * (channels > 1)}"


def check_labels(channels, path):
    """Refuse labels of several channels: which one is meant is anybody's guess."""
    if channels > 1:
        raise UnsuitableError(f"{path} has {channels} channels. Expected labels: one whole number a voxel.")
