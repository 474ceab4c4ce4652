"""The image that a user names by its files: one, or several that hold its channels, as in "t1.nii.gz;t2.nii.gz"."""

import os

import numpy as np

from deepsim_tf.data.intensities import read_image
from deepsim_tf.data.same_grid import check_grids
from deepsim_tf.data.sources import Source, files_of
from deepsim_tf.formats import channel_count, read_volume
from deepsim_tf.formats.registry import readable


def source_of(named):
    """The Source of an image that is named by its file, or by several, separated by `;`.

    Raises:
        ValueError: no such file, or one of an unknown ending.
    """
    files = files_of(os.fspath(named))
    for file in files:
        with readable(file):
            pass
    return Source(";".join(file.name for file in files), files[0], further=tuple(files[1:]))


def header_of(source, channels=None):
    """The Header of an image, with the channels of all of its files.

    Raises:
        ValueError: files that cannot be read or lie on different grids; another number of channels than `channels`.
    """
    header = check_grids(source, channels=_of_a_file(source, channels))
    if channels not in (None, header.channels):
        raise ValueError(
            f"{source.listed} has {channel_count(header.channels)}. Expected {channels}, as the model's images have."
        )
    return header


def stored_voxels(source, channels=None):
    """The voxels as they are in the files, (*spatial, channels)."""
    parts = [read_volume(path, channels=_of_a_file(source, channels)) for path in source.images]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def scaled_voxels(source, rule, channels=None):
    """The intensities under a rule, each file by itself as in a data set, (*spatial, channels) float32."""
    return read_image(source.images, rule, channels=_of_a_file(source, channels))


def _of_a_file(source, channels):
    """How many channels each file has; None: it says so itself."""
    return None if source.further else channels
