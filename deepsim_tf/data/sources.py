"""From an image file and its label file to the arrays of an ImageSet, with every check on the way."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from deepsim_tf.data.image_set import ImageSet
from deepsim_tf.data.intensities import place, read_image
from deepsim_tf.data.label_map import map_labels
from deepsim_tf.data.same_grid import check_shape
from deepsim_tf.data.validation import check_not_empty, whole_labels
from deepsim_tf.formats import OpenFiles, channel_count, read_volume
from deepsim_tf.grids.fit import fit_image, fit_labels


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
        how = {"page": source.page, "channels": self.file_channels, "files": files}
        image = read_image(source.images, self.intensity, **how)
        if image.shape[-1] != self.channels:
            found = f"{place(source.listed, source.page)} has {channel_count(image.shape[-1])}"
            raise ValueError(f"{found}. Expected {self.channels}, as all images of the set have.")
        labels = None if source.labels is None else self._labels(source, files)
        if labels is not None:
            check_shape(source.image, image.shape[:-1], "its labels", source.labels, labels.shape)
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
