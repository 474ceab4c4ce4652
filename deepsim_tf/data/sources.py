"""From an image file and its label file to the arrays of an ImageSet, with every check on the way."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from deepsim_tf.data.image_set import ImageSet
from deepsim_tf.data.label_map import map_labels
from deepsim_tf.data.validation import check_bits, check_contrast, check_finite, check_not_empty, whole_labels
from deepsim_tf.formats import OpenFiles, read_header, read_volume
from deepsim_tf.grids.fit import fit_image, fit_labels
from deepsim_tf.intensity.rules import apply_intensity, parse_rule


@dataclasses.dataclass(frozen=True)
class Source:
    """Where one image and its labels lie."""

    name: str
    image: Path
    labels: Path | None = None
    page: int | None = None  # of a stack
    further: tuple = ()  # files with further channels of the image, on its grid

    @property
    def images(self):
        """The files of the image: one, or one for each channel or group of them."""
        return [self.image, *self.further]

    @property
    def files(self):
        """The files that are read."""
        return self.images if self.labels is None else [*self.images, self.labels]

    @property
    def listed(self):
        """The image's files as a CSV file lists them, for messages."""
        return ";".join(map(str, self.images))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How the files of a dataset become arrays; part of the name under which they are cached.

    Args:
        intensity: rule by name (`deepsim_tf.intensity.rules`).
        classes: number of classes; None where there are no labels.
        shape: spatial shape of the result.
        channels: number of channels of the result.
        file_channels: number of channels of each file of an image, where somebody says it (`read_volume`).
        fit: how images of another size are brought to `shape` (`deepsim_tf.grids.fit`); None refuses them.
        crop: (start, stop) of each axis that is kept of a file; its shape is then exactly `shape`.
        highest: labels above become this one: 1 makes one class of all instances. None keeps them.
        label_map: ((label, class), ..) of the labels in the files; all must occur in it. None keeps them.
    """

    intensity: str
    classes: int | None
    shape: tuple
    channels: int = 1
    file_channels: int | None = None
    fit: str | None = None
    crop: tuple | None = None
    highest: int | None = None
    label_map: tuple | None = None

    def load(self, source, files=None):
        """`(image (*shape, channels) float32, labels (*shape) int32 or None)` of a Source.

        Args:
            source: the Source.
            files: OpenFiles for its pages, or None.
        """
        parts = [self._part(source, path, files) for path in source.images]
        for path, part in zip(source.images, parts):
            if part.shape[:-1] != parts[0].shape[:-1]:
                raise ValueError(one_shape(source.image, parts[0].shape[:-1], "another channel", path, part.shape[:-1]))
        image = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        if image.shape[-1] != self.channels:
            where = place(source.listed, source.page)
            raise ValueError(channels_differ(where, image.shape[-1], self.channels))
        labels = None if source.labels is None else self._labels(source, files)
        if labels is not None and labels.shape != image.shape[:-1]:
            raise ValueError(one_shape(source.image, image.shape[:-1], "its labels", source.labels, labels.shape))
        where = tuple(slice(*ends) for ends in self.crop or ())
        image, labels = image[where], None if labels is None else labels[where]
        image = np.ascontiguousarray(image)
        if self.fit is not None:
            image = np.asarray(fit_image(image, self.shape, self.fit), np.float32)
            labels = None if labels is None else fit_labels(labels, self.shape, self.fit)
        if image.shape[:-1] != tuple(self.shape):
            raise ValueError(
                f"{place(source.image, source.page)} has shape {image.shape[:-1]}. Expected {tuple(self.shape)}, as the"
                " first image has."
            )
        return image, None if labels is None else np.ascontiguousarray(labels, np.int32)

    def _part(self, source, path, files):
        return read_image(path, self.intensity, page=source.page, channels=self.file_channels, files=files)

    def _labels(self, source, files):
        where = place(source.labels, source.page)
        labels = whole_labels(read_volume(source.labels, page=source.page, kind="labels", files=files), where)
        if labels.min() < 0:
            raise ValueError(f"{where}: expected labels from 0 on. Received: {labels.min()}.")
        if self.label_map is not None:
            labels = map_labels(labels, dict(self.label_map), where)
        if self.highest is not None:
            labels = np.minimum(labels, self.highest)
        if labels.max() >= self.classes:
            raise ValueError(
                f"{where}: expected labels from 0 to {self.classes - 1} ({self.classes} classes). Received: up to"
                f" {labels.max()}."
            )
        if source.page is None:  # a slice may lie beside the object; a file of its own without any label is a mistake
            check_not_empty(labels, where)
        return labels


def read_image(path, rule, *, page=None, channels=None, files=None):
    """The intensities (*spatial, channels) of a file under a rule, float32, after the checks of a dataset's image.

    Args:
        path: of the file. All of its channels lie on one scale.
        rule: intensity rule by name.
        page, channels, files: see `read_volume`.
    """
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


def files_of(names, folder=Path()):
    """The files that a text names: one, or, where there is no such file, those of an image's channels, between `;`."""
    several = [names] if os.path.isfile(folder / names) else [name.strip() for name in names.split(";") if name.strip()]
    return [folder / name for name in several or [names]]


def image_set(sources, reading, **arguments):
    """The ImageSet of a list of Sources, read as a Reading says; `arguments` are the rest of ImageSet's."""
    files = OpenFiles()
    return ImageSet(
        lambda i: reading.load(sources[i], files),
        [source.name for source in sources],
        classes=reading.classes,
        shape=reading.shape,
        channels=reading.channels,
        intensity=reading.intensity,
        fit=reading.fit,
        files=lambda i: sources[i].files,
        close=files.close,
        settings=repr(reading),
        **arguments,
    )


def check_grids(source, *, affine=True, channels=1):
    """The image's Header, after the checks that need no voxels: its files and labels have one shape and one affine.

    Args:
        source: the Source.
        affine: whether the affines are compared.
        channels: number of channels of each of its files; None: any (`read_volume`).

    Returns:
        The Header of its first file, with the channels of all of them.
    """
    headers = [read_header(path, channels=channels) for path in source.images]
    image, beside = headers[0], list(zip(["another channel"] * len(source.further), source.further, headers[1:]))
    if source.labels is not None:
        beside.append(("its labels", source.labels, read_header(source.labels, kind="labels")))
    for what, path, header in beside:
        if header.shape != image.shape:
            raise ValueError(one_shape(source.image, image.shape, what, path, header.shape))
        if affine:
            same_affine(source.image, image, path, header)
    return image._replace(channels=sum(header.channels for header in headers))


def one_shape(path, shape, what, other, other_shape):
    """The sentence about an image and what belongs to it, of another shape."""
    return f"{path} has shape {shape}, {what} {other} {other_shape}. Expected one shape for both."


def channels_differ(where, found, expected):
    """The sentence about an image with other channels than its set."""
    return f"{where} has {counted(found)}. Expected {expected}, as all images of the set have."


def counted(channels):
    """A number of channels in words."""
    return f"{channels} channel{'s' * (channels > 1)}"


def same_affine(path, header, other_path, other):
    """Refuse two volumes whose voxels lie elsewhere in the world.

    More than a hundredth of a voxel at a corner of the grid.
    """
    if header.affine is None or other.affine is None:
        return
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in header.shape], indexing="ij")).reshape(len(header.shape), -1)
    difference = (header.affine - other.affine)[:3, : len(header.shape)] @ corners + (header.affine - other.affine)[
        :3, 3:
    ]
    if np.abs(difference).max() > 0.01 * min(header.spacing):
        raise ValueError(
            f"{path} and {other_path} have different affines (up to {np.linalg.norm(difference, axis=0).max():.3g} mm"
            " apart)."
            " Expected one grid for both: resample one onto the other, as nibabel.processing.resample_from_to does."
        )


def place(path, page):
    """A file, or a page of it, as messages name it."""
    return str(path) if page is None else f"{path}, slice {page}"
