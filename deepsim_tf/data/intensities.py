"""The intensities of image files under a rule."""

import os

import numpy as np

from deepsim_tf.data.same_grid import check_shape
from deepsim_tf.data.validation import check_bits, check_contrast, check_finite
from deepsim_tf.formats import read_volume
from deepsim_tf.intensity.rules import apply_intensity, parse_rule


def read_image(paths, rule, *, page=None, channels=None, files=None):
    """The intensities (*spatial, channels) of an image under a rule, float32, after the checks of a dataset's image.

    Args:
        paths: path of its file; or several, whose channels then follow one another.
        rule: intensity rule by name. Each file is under it by itself, all channels of a file on one scale.
        page, channels, files: see `read_volume`; `channels` are those of each file.

    Raises:
        ValueError: a file that cannot be read, no real or finite numbers, no contrast, a rule that does not fit, files
            of different shape.
    """
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    parts = [_read_file(path, rule, page, channels, files) for path in paths]
    for path, part in zip(paths, parts):
        check_shape(paths[0], parts[0].shape[:-1], "another channel", path, part.shape[:-1])
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def place(path, page):
    """A file, or a page of it, as messages name it."""
    return str(path) if page is None else f"{path}, slice {page}"


def _read_file(path, rule, page, channels, files):
    raw, where = read_volume(path, page=page, channels=channels, files=files), place(path, page)
    if raw.dtype.kind not in "uifb":
        raise ValueError(f"{where}: expected real intensities. Received: {raw.dtype}.")
    check_finite(raw, where)
    check_contrast(raw, where)
    check_bits(raw, parse_rule(rule), where)
    try:
        return apply_intensity(raw, rule)
    except ValueError as error:
        raise ValueError(f"{where}: {error}. Choose another rule, such as minmax, or leave it out.") from None
