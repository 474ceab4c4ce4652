"""The user's own images, listed in a CSV file."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from deepsim_tf.checks import image_shape, known
from deepsim_tf.data.own.headers import common_shape, plane, read_headers
from deepsim_tf.data.own.landmarks import landmarks_of_pairs, read_points
from deepsim_tf.data.own.table import read_label_map, read_rows
from deepsim_tf.data.pairing import SPLITS, neighbours, subjects, to_atlas
from deepsim_tf.data.problems import Problems
from deepsim_tf.data.sources import Reading, Source, image_set
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
    cache="auto",
    problems=None,
):
    """Images listed in a CSV file: NIfTI, MGZ, TIFF (several pages are a volume), PNG, npy, npz; 2-D or 3-D.

    The file has the columns moving, fixed, and optionally moving_labels, fixed_labels, moving_landmarks,
    fixed_landmarks, split: its rows are the pairs; where all rows have one fixed image, it is the atlas. Or it has the
    columns image, and optionally labels,
    landmarks, split: in train every ordered pair of two images is a candidate, in val and test image i goes to image n
    - 1 - i. Paths count from the file's folder. Landmarks are CSV files of voxels of the image file, see
    `ds.metrics.read_landmarks`; row n of both files of a pair is one point, and `ds.evaluate` measures how far apart
    they are.

    Args:
        path: the CSV file.
        split: "train", "val" or "test", for the rows with that in the column split; None for all rows, paired as in
            train.
        intensity: rule by name: "minmax", "quantile" (1 % and 99 % of each image to 0 and 1), "fixed:LOW:HIGH", "none".
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
        cache: see ImageSet.
        problems: None raises a ValueError about the first problem; a list receives all of them, and their rows are left
            out.

    Returns:
        ImageSet.

    Raises:
        ValueError: a file that cannot be read, other columns, a row with a missing file or unknown split, 2-D and 3-D
            images in one file, sizes that differ without `fit`, voxels of different orientation or size, image and
            labels on different grids, landmarks outside the image or of another number than its partner's.

    Example:
        >>> images = ds.data.from_csv("movie.csv", "train", intensity="quantile", slices=True)
    """
    if split is not None:
        known("split", split, SPLITS)
    parse_rule(intensity)
    if fit is not None:
        known("fit", fit, FITS)
    shape = None if shape is None else image_shape(shape)
    path, found = Path(path), Problems(f"csv {path}")
    label_map = None if label_map is None else read_label_map(label_map)
    rows = read_rows(path, found)
    if split is not None and rows and all(row.split is None for row in rows):
        raise ValueError(
            f"{path} has no column split. Add it, with train, val or test in each row, to use split={split!r}."
        )
    if slices and any(row.landmarks for row in rows):
        raise ValueError(
            f"{path} lists landmarks, which belong to whole images. Leave out slices=True (--slices), or the columns"
            " of landmarks."
        )
    headers = read_headers(rows, shape, fit, slices, found)
    if headers:
        shape = shape or common_shape([plane(header.shape, slices) for header in headers.values()], fit)
    points = read_points(rows, headers, shape, fit, found)
    for _, labels in headers if slices else ():  # a slice may be empty, a whole stack is a mistake
        with found.caught():
            check_not_empty(read_volume(labels, kind="labels"), labels) if labels else None
    if not any(labels for _, labels in headers):
        classes = None
    elif classes is None:
        classes = _count_classes(headers, label_map, found)
    chosen = [
        row for row in rows if (split is None or row.split == split) and all(image in headers for image in row.images)
    ]
    chosen = [row for row in chosen if row.line in points or not row.landmarks]
    if not chosen and not found:
        raise ValueError(f"{path} has no row with split {split!r}. Expected at least one.")
    found.report(problems)
    if not headers:
        raise ValueError(f"{path} lists no file that can be used.")

    header = next(iter(headers.values()))
    stretched = np.divide(plane(header.shape, slices), shape) if fit == "resample" else 1
    reading = Reading(intensity=intensity, classes=classes, shape=shape, fit=fit, label_map=label_map)
    fixed, atlas = {row.images[-1] for row in rows}, None
    if (
        not slices
        and len(rows[0].images) == 2
        and len(fixed) == 1
        and fixed <= set(headers)
        and not fixed & {row.images[0] for row in rows}
    ):
        chosen = list({row.images: row for row in chosen}.values())  # an image of two splits is in the set once
        images = [row.images[:1] for row in chosen]
        sources, _ = _expanded(images, headers, False, path.parent)
        with found.caught():
            atlas = reading.load(Source("atlas", *fixed.pop()))
        found.report(problems)
        pairs = to_atlas(len(sources) if atlas else 0)
    else:
        images = [row.images for row in chosen]
        sources, numbers = _expanded(images, headers, slices, path.parent)
        pairs = _pairs(images, numbers, split or "train", slices, len(sources))
    return image_set(
        sources,
        reading,
        name=path.stem,
        split=split or "all",
        spacing=np.multiply(header.spacing[-len(shape) :], stretched),
        orientation=None if slices else header.orientation,  # own_headers has checked that all are alike
        pairs=pairs,
        atlas=atlas,
        landmarks=landmarks_of_pairs(chosen, points, pairs),
        cache=cache,
    )


def _count_classes(headers, label_map, found):
    """As many as the label map has, or as the label files show: all of them, so that the splits agree."""
    if label_map is not None:
        return 1 + max(target for _, target in label_map)

    def present(labels):
        return np.unique(whole_labels(read_volume(labels, kind="labels"), labels))

    values = set()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for future in [pool.submit(present, labels) for _, labels in headers]:
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


def _expanded(images, headers, slices, folder):
    """The Sources of all images, each file once, one for each slice; and {file: indices of its Sources}."""
    sources, numbers = [], {}
    for image, labels in dict.fromkeys(image for row in images for image in row):
        name = Path(os.path.relpath(image, folder)).as_posix()
        shape = headers[image, labels].shape
        # A file of one page is a series of one, and is read as it is.
        pages = range(shape[0]) if slices and len(shape) == 3 else (None,)
        numbers[image, labels] = range(len(sources), len(sources) + len(pages))
        sources += [Source(name if page is None else f"{name}/{page:03d}", image, labels, page) for page in pages]
    return sources, numbers


def _pairs(images, numbers, split, slices, count):
    if images and len(images[0]) == 2:
        for moving, fixed in images:
            if len(numbers[moving]) != len(numbers[fixed]):
                received = f"{moving[0]} has {len(numbers[moving])} slices, {fixed[0]} {len(numbers[fixed])}"
                raise ValueError(f"{received}. Expected as many in both: slice k is registered to slice k.")
        return [pair for moving, fixed in images for pair in zip(numbers[moving], numbers[fixed])]
    if slices:
        return [
            (i, j)
            for own in numbers.values()
            for i, j in ((own[a], own[b]) for a, b in neighbours(range(len(own)), split))
        ]
    return subjects(count, split)
