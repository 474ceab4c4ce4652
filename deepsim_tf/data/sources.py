"""From an image file and its label file to the arrays of an ImageSet, with every check on the way."""

import dataclasses
from pathlib import Path

import numpy as np

from deepsim_tf.data.image_set import ImageSet
from deepsim_tf.data.validation import check_bits, check_contrast, check_finite, check_not_empty, whole_labels
from deepsim_tf.formats import read_header, read_volume
from deepsim_tf.grids.fit import fit_image, fit_labels
from deepsim_tf.intensity.rules import apply_intensity, parse_rule


@dataclasses.dataclass(frozen=True)
class Source:
    """Where one image and its labels lie."""

    name: str
    image: Path
    labels: Path | None = None
    page: int | None = None  # of a stack

    @property
    def files(self):
        """The files that are read."""
        return [self.image] if self.labels is None else [self.image, self.labels]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How the files of a dataset become arrays; part of the name under which they are cached.

    Args:
        intensity: rule by name (`deepsim_tf.intensity.rules`).
        classes: number of classes; None where there are no labels.
        shape: spatial shape of the result.
        fit: how images of another size are brought to `shape` (`deepsim_tf.grids.fit`); None refuses them.
        crop: (start, stop) of each axis that is kept of a file; its shape is then exactly `shape`.
        highest: labels above become this one: 1 makes one class of all instances. None keeps them.
        label_map: ((label, class), ..) of the labels in the files; all must occur in it. None keeps them.
    """

    intensity: str
    classes: int | None
    shape: tuple
    fit: str | None = None
    crop: tuple | None = None
    highest: int | None = None
    label_map: tuple | None = None

    def load(self, source):
        """`(image (*shape, 1) float32, labels (*shape) int32 or None)` of a Source."""
        image = read_image(source.image, self.intensity, page=source.page)
        labels = None if source.labels is None else self._labels(source)
        if labels is not None and labels.shape != image.shape:
            raise ValueError(
                f"{source.image} has shape {image.shape}, its labels {source.labels} {labels.shape}. Expected one"
                " shape for both."
            )
        where = tuple(slice(*ends) for ends in self.crop or ())
        image, labels = image[where], None if labels is None else labels[where]
        image = np.ascontiguousarray(image)[..., None]
        if self.fit is not None:
            image = np.asarray(fit_image(image, self.shape, self.fit), np.float32)
            labels = None if labels is None else fit_labels(labels, self.shape, self.fit)
        if image.shape[:-1] != tuple(self.shape):
            where = _place(source.image, source.page)
            raise ValueError(
                f"{where} has shape {image.shape[:-1]}. Expected {tuple(self.shape)}, as the first image has."
            )
        return image, None if labels is None else np.ascontiguousarray(labels, np.int32)

    def _labels(self, source):
        where = _place(source.labels, source.page)
        labels = whole_labels(read_volume(source.labels, page=source.page, kind="labels"), where)
        if labels.min() < 0:
            raise ValueError(f"{where}: expected labels from 0 on. Received: {labels.min()}.")
        if self.label_map is not None:
            labels = _mapped(labels, dict(self.label_map), where)
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


def read_image(path, rule, *, page=None):
    """The intensities (*spatial) of an image file under a rule, float32, after the checks of a dataset's image."""
    raw, where = read_volume(path, page=page), _place(path, page)
    if raw.dtype.kind not in "uifb":
        raise ValueError(f"{where}: expected real intensities. Received: {raw.dtype}.")
    check_finite(raw, where)
    check_contrast(raw, where)
    check_bits(raw, parse_rule(rule), where)
    try:
        return apply_intensity(raw, rule)
    except ValueError as error:
        raise ValueError(f"{where}: {error}. Choose another rule, such as minmax, or leave it out.") from None


def image_set(sources, reading, **arguments):
    """The ImageSet of a list of Sources, read as a Reading says; `arguments` are the rest of ImageSet's."""
    return ImageSet(
        lambda i: reading.load(sources[i]),
        [source.name for source in sources],
        classes=reading.classes,
        shape=reading.shape,
        intensity=reading.intensity,
        fit=reading.fit,
        files=lambda i: sources[i].files,
        settings=repr(reading),
        **arguments,
    )


def check_grids(source, *, affine=True):
    """The image's Header, after the checks that need no voxels: image and labels have one shape and one affine."""
    image = read_header(source.image)
    if source.labels is None:
        return image
    labels = read_header(source.labels, kind="labels")
    if image.shape != labels.shape:
        raise ValueError(
            f"{source.image} has shape {image.shape}, its labels {source.labels} {labels.shape}. Expected one shape"
            " for both."
        )
    if affine:
        same_affine(source.image, image, source.labels, labels)
    return image


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


def _mapped(labels, label_map, where):
    present = np.unique(labels)
    unknown = [int(label) for label in present if label and int(label) not in label_map]
    if unknown:
        raise ValueError(
            f"{where}: holds labels that the label map leaves out: {_few(unknown)}. Map them to a class, or to 0 to"
            " drop them."
        )
    targets = np.array([label_map.get(int(label), 0) for label in present], np.int32)
    return targets[np.searchsorted(present, labels)]


def _few(values):
    return ", ".join(map(str, values[:10])) + (" and so on" if len(values) > 10 else "")


def _place(path, page):
    return str(path) if page is None else f"{path}, slice {page}"
