"""Checks of images and label maps when they are loaded; every message begins with the file or image."""

import numpy as np


def check_image(image, shape, channels, where):
    """`image` as a read-only float32 array (*shape, channels), or a ValueError that begins with `where`."""
    image, expected = np.asarray(image), (*shape, channels)
    if image.shape != expected:
        last = "one channel last" if channels == 1 else "channels last"
        raise ValueError(f"{where}: expected an array of shape {expected}, {last}. Received: shape {image.shape}.")
    if image.dtype.kind != "f":
        raise ValueError(
            f"{where}: expected floating-point intensities, nominally in [0, 1]. Received: {image.dtype}. Rescale it"
            " first."
        )
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, and is reported as such
        image = image.astype(np.float32, copy=False)
    check_finite(image, where)
    return read_only(image)


def check_labels(labels, shape, classes, where):
    """`labels` as a read-only int32 array of `shape` with values in range(classes), None as None."""
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.shape != tuple(shape):
        raise ValueError(
            f"{where}: expected labels of the image's shape {tuple(shape)}. Received: shape {labels.shape}."
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{where}: expected integer labels. Received: {labels.dtype}.")
    if classes is None:
        raise ValueError(f"{where}: has labels, but the number of classes is unknown. Pass classes to the ImageSet.")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise ValueError(f"{where}: expected labels from 0 to {classes - 1}. Received: {low} to {high}.")
    return read_only(labels.astype(np.int32, copy=False))


def check_finite(image, where):
    """Refuse NaN and infinity."""
    # The sum is one pass without a temporary array; only a suspicious one is worth counting.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(np.sum(image, dtype=np.float64))
    if suspicious:
        count = int(np.size(image) - np.isfinite(image).sum())
        if count:
            raise ValueError(
                f"{where}: expected finite intensities. Received: {count} voxels that are NaN or infinite (as float32)."
            )


def check_contrast(raw, where):
    """Refuse an image of one value: an empty export, or a slice beside the object."""
    low, high = raw.min(), raw.max()
    if low == high:
        raise ValueError(
            f"{where}: expected an image with contrast. Received: {low} in every voxel. Leave it out, or export it"
            " again."
        )


def check_bits(raw, rule, where):
    """Refuse 16 bits read by a rule for 8: a fixed range that most of the stored range exceeds."""
    name, low, high = rule
    if name == "fixed" and raw.dtype.kind in "iu" and raw.dtype.itemsize > 1 and raw.max() > low + 4 * (high - low):
        bits = 8 * raw.dtype.itemsize
        raise ValueError(
            f"{where}: holds {bits}-bit values up to {raw.max()}, and the intensity rule fixed:{low:g}:{high:g}"
            f" expects values up to about {high:g}."
            f" Name the rule that fits, such as fixed:0:{2**bits}, or save the image with fewer bits."
        )
    if name == "fixed" and float(raw.max()) - float(raw.min()) < 0.02 * (high - low):
        raise ValueError(
            f"{where}: holds values from {raw.min()} to {raw.max()}, less than 2 % of the range of the intensity rule"
            f" fixed:{low:g}:{high:g}."
            " Name the rule that fits: was the image scaled before?"
        )


def whole_labels(labels, where):
    """Labels as integers: stored floats are accepted where they are whole numbers."""
    labels = np.asarray(labels)
    if labels.dtype.kind in "iu":
        return labels
    if labels.dtype.kind == "b":
        return labels.astype(np.uint8)
    if labels.dtype.kind != "f":
        raise ValueError(f"{where}: expected whole numbers as labels. Received: {labels.dtype}.")
    fractional = ~((labels == np.round(labels)) & (np.abs(labels) < 2**31))  # NaN and infinity are among them
    if fractional.any():
        raise ValueError(
            f"{where}: expected whole numbers as labels. Received: {int(fractional.sum())} voxels that are none, such"
            f" as {labels[fractional][0]:g}."
            " It was probably resampled linearly: resample labels with nearest neighbour."
        )
    return labels.astype(np.int32)


def check_not_empty(labels, where):
    """Refuse a label map that is background everywhere."""
    if not labels.any():
        raise ValueError(
            f"{where}: expected labels above 0. Received: background in every voxel. Leave the image out, or label it."
        )


def read_only(array):
    """The array, shared with a cache and therefore not to be written to."""
    array = array.view()
    array.flags.writeable = False
    return array
