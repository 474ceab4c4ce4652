"""The user's own images, listed in a CSV file, as an ImageSet."""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from deepsim_tf.checks import image_shape, known
from deepsim_tf.data.label_map import read_label_map
from deepsim_tf.data.own.headers import common_shape, plane, read_headers
from deepsim_tf.data.own.landmarks import landmarks_of_pairs, read_points
from deepsim_tf.data.own.rows import read_rows
from deepsim_tf.data.pairing import SPLITS, neighbours, subjects, to_atlas
from deepsim_tf.data.problems import Problems
from deepsim_tf.data.sources import Reading, image_set
from deepsim_tf.data.validation import check_not_empty, whole_labels
from deepsim_tf.formats import read_volume
from deepsim_tf.grids.fit import FITS
from deepsim_tf.intensity.rules import parse_rule


def from_csv(
    path,
    split=None,
    *,
    intensity="minmax",
    shape=None,
    fit=None,
    classes=None,
    label_map=None,
    slices=False,
    channels=None,
    cache="auto",
    problems=None,
):
    """Images listed in a CSV file: NIfTI, MGZ, TIFF (several pages are a volume), PNG, npy, npz; 2-D or 3-D.

    The file has the columns moving, fixed, and optionally moving_labels, fixed_labels, moving_landmarks,
    fixed_landmarks, split: its rows are the pairs; where all rows have one fixed image, it is the atlas. Or it has the
    columns image, and optionally labels, landmarks, split: in train every ordered pair of two images is a candidate, in
    val and test image i goes to image n - 1 - i. Paths count from the file's folder.

    A cell of image, moving or fixed may list several files of one grid with `;` between them, as in
    t1.nii.gz;t2.nii.gz: they hold the channels of one image. Red-green-blue files have three. All images of the file
    have the same number.

    Landmarks are CSV files of voxels of the image file, see `ds.metrics.read_landmarks`; row n of both files of a pair
    is one point, and `ds.evaluate` measures how far apart they are.

    Args:
        path: the CSV file.
        split: "train", "val" or "test", for the rows with that in the column split; None for all rows, paired as in
            train.
        intensity: rule by name: "minmax", "quantile" (1 % and 99 % of each image to 0 and 1), "fixed:LOW:HIGH", "none".
            Each file of an image is under the rule by itself, all channels of a file together: colours stay as they
            are.
        shape: spatial shape of the ImageSet. Default: that of the files; where they differ, the largest side on each
            axis for fit="pad", the median for fit="resample".
        fit: what is done about files of another size: None refuses them, "pad" centres them and continues their border
            (and crops what sticks out of `shape`), "resample" stretches them. `ds.register` undoes it.
        classes: number of classes with background. Default: as many as the label files or the label map show.
        label_map: dict {label: class}, or a CSV file with the columns label and class. Several labels of one class are
            merged, class 0 drops a label; a label that the map leaves out is an error.
        slices: True takes a stack as a series of 2-D images. Neighbours in a stack are then paired, as in
            `platelet_em`; in a file of pairs, slice k of moving goes to slice k of fixed. Landmarks, which may lie
            between slices, are refused.
        channels: how many each image file has. Arrays in npy and npz files need the number where their last axis holds
            channels, since it is a spatial axis otherwise; files of other formats say it themselves, and are refused
            where they say another.
        cache: see ImageSet.
        problems: None raises a ValueError about the first problem; a list receives all of them, and their rows are left
            out.

    Returns:
        ImageSet.

    Raises:
        ValueError: a file that cannot be read, other columns, a row with a missing file or unknown split, 2-D and 3-D
            images in one file, channels or sizes that differ (without `fit`), voxels of different orientation or size,
            image, labels or channels on different grids, landmarks outside the image or of another number than its
            partner's.

    Example:
        >>> images = ds.data.from_csv("movie.csv", "train", intensity="quantile", slices=True)
    """
    if split is not None:
        known("split", split, SPLITS)
    parse_rule(intensity)
    if fit is not None:
        known("fit", fit, FITS)
    shape = None if shape is None else image_shape(shape)
    if channels is not None and (isinstance(channels, bool) or not isinstance(channels, int) or channels < 1):
        raise ValueError(f"channels must be the number of channels of a file, from 1. Received: channels={channels!r}.")
    path, found = Path(path), Problems(f"csv {path}")
    label_map = None if label_map is None else read_label_map(label_map)
    rows = read_rows(path, found)
    _check_options(path, rows, split, slices)
    headers = read_headers(rows, shape, fit, slices, channels, found)
    if headers:
        shape = shape or common_shape([plane(header.shape, slices) for header in headers.values()], fit)
    points = read_points(rows, headers, shape, fit, found)
    classes = _classes([source.labels for source in headers if source.labels], classes, label_map, slices, found)
    chosen = [
        row
        for row in rows
        if (split is None or row.split == split)
        and all(source in headers for source in row.images)
        and (row.line in points or not row.landmarks)
    ]
    if not chosen and not found:
        raise ValueError(f"{path} has no row with split {split!r}. Expected at least one.")
    found.report(problems)
    if not headers:
        raise ValueError(f"{path} lists no file that can be used.")

    header = next(iter(headers.values()))
    stretched = np.divide(plane(header.shape, slices), shape) if fit == "resample" else 1
    reading = Reading(
        intensity=intensity,
        classes=classes,
        shape=shape,
        channels=header.channels,
        file_channels=channels,
        fit=fit,
        label_map=label_map,
    )
    fixed = None if slices else _only_fixed(rows)
    atlas = None
    if fixed in headers:
        chosen = list({row.images: row for row in chosen}.values())  # an image of two splits is in the set once
        sources, _ = _expanded([row.images[:1] for row in chosen], headers, False)
        with found.caught():
            atlas = reading.load(fixed)
        found.report(problems)
        pairs = to_atlas(len(sources) if atlas else 0)
    else:
        images = [row.images for row in chosen]
        sources, numbers = _expanded(images, headers, slices)
        pairs = _pairs(images, numbers, split or "train", slices, len(sources))
    return image_set(
        sources,
        reading,
        name=path.stem,
        split=split or "all",
        spacing=np.multiply(header.spacing[-len(shape) :], stretched),
        orientation=None if slices else header.orientation,  # `read_headers` has checked that all are alike
        pairs=pairs,
        atlas=atlas,
        landmarks=landmarks_of_pairs(chosen, points, pairs),
        cache=cache,
    )


def _check_options(path, rows, split, slices):
    """Refuse options for which the file has not the columns."""
    if split is not None and rows and all(row.split is None for row in rows):
        raise ValueError(
            f"{path} has no column split. Add it, with train, val or test in each row, to use split={split!r}."
        )
    if slices and any(row.landmarks for row in rows):
        raise ValueError(
            f"{path} lists landmarks, which belong to whole images. Leave out slices=True (--slices), or the columns"
            " of landmarks."
        )


def _classes(files, classes, label_map, slices, found):
    """The number of classes of the label files of all splits; None where there are none."""
    for file in files if slices else ():  # a slice may be empty, a whole stack is a mistake
        with found.caught():
            check_not_empty(read_volume(file, kind="labels"), file)
    if not files or classes is not None:
        return classes if files else None
    # All splits agree: as many as the label map has, or as all label files show.
    return 1 + max(target for _, target in label_map) if label_map is not None else _count_classes(files, found)


def _count_classes(files, found):
    """As many classes as the label files show."""

    def present(file):
        return np.unique(whole_labels(read_volume(file, kind="labels"), file))

    values = set()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for future in [pool.submit(present, file) for file in files]:
            with found.caught():
                values.update(future.result().tolist())
    most = max(values, default=0)
    if most >= 16 and most + 1 > 2 * len(values):
        some = ", ".join(map(str, sorted(values)[:8])) + (", and so on" if len(values) > 8 else "")
        found.append(
            f"The label files hold {len(values)} different labels up to {most} ({some}), which would be {most + 1}"
            " classes."
            " Number them without gaps with a label map (--label-map), or give the number of classes (--classes)."
        )
    return 1 + most


def _only_fixed(rows):
    """The fixed image of all pairs, if there is one alone, which does not move too: the atlas."""
    fixed = {row.images[1:] for row in rows}
    only = next(iter(fixed)) if len(fixed) == 1 else ()
    return only[0] if only and only[0] not in {row.images[0] for row in rows} else None


def _expanded(images, headers, slices):
    """The Sources of all images, each once, one for each slice; and {Source: indices of its own}."""
    sources, numbers = [], {}
    for source in dict.fromkeys(source for row in images for source in row):
        shape = headers[source].shape
        # A file of one page is a series of one, and is read as it is.
        pages = range(shape[0]) if slices and len(shape) == 3 else (None,)
        numbers[source] = range(len(sources), len(sources) + len(pages))
        sources += [
            source if page is None else dataclasses.replace(source, name=f"{source.name}/{page:03d}", page=page)
            for page in pages
        ]
    return sources, numbers


def _pairs(images, numbers, split, slices, count):
    if images and len(images[0]) == 2:
        for moving, fixed in images:
            if len(numbers[moving]) != len(numbers[fixed]):
                received = f"{moving.image} has {len(numbers[moving])} slices, {fixed.image} {len(numbers[fixed])}"
                raise ValueError(f"{received}. Expected as many in both: slice k is registered to slice k.")
        return [pair for moving, fixed in images for pair in zip(numbers[moving], numbers[fixed])]
    if slices:
        return [
            (i, j)
            for own in numbers.values()
            for i, j in ((own[a], own[b]) for a, b in neighbours(range(len(own)), split))
        ]
    return subjects(count, split)
