"""Platelet-EM: serial-section electron microscopy of blood platelets, and stacks in the same layout."""

from pathlib import Path

from deepsim_tf.checks import known
from deepsim_tf.data.pairing import SPLITS, neighbours
from deepsim_tf.data.problems import NoImages, Problems
from deepsim_tf.data.sources import Reading, Source, image_set
from deepsim_tf.data.validation import check_not_empty, whole_labels
from deepsim_tf.formats import read_header, read_volume

# split: (stack, first slice, slice after the last; None: to the end)
SLICES = {"train": ("50", 0, None), "val": ("24", 0, 12), "test": ("24", 12, 24)}
SPACING = (1e-5, 1e-5)  # mm: 10 nm within a section (Guay et al. 2021)
MERGED_CLASSES = 3


def platelet_em(root, split, *, merge=True, cache="auto", problems=None):
    """Slices of platelets; classes: 0 background, 1 cytoplasm, 2 organelles.

    Train is the stack of 50 slices, with every slice at distance 1 or 2 as a candidate partner. Val and test are slices
    0-11 and 12-23 of the stack of 24, where moving is a slice and fixed the next one. Intensities are x / 2^bits of the
    file.

    Args:
        root: folder with images/50-images.tif and 24-images.tif, labels-class/50-class.tif and 24-class.tif.
        split: "train", "val" or "test".
        merge: True makes labels above 1 class 2; False keeps the classes of the files.
        cache: see ImageSet.
        problems: None raises a ValueError about the first problem; a list receives all of them.

    Returns:
        ImageSet of the slices, (rows, columns, 1).

    Raises:
        ValueError: unknown split, a missing stack, stacks of different length or size, a split without slices.

    Example:
        >>> images = ds.data.platelet_em("Platelet-EM", "val")
        >>> images.classes, images.pairs()[:2]
        (3, [(0, 1), (1, 2)])

    Reference: Guay et al., Scientific Reports 11, 2561 (2021); leapmanlab.github.io/dense-cell
    """
    known("split", split, SPLITS)
    root, found = Path(root), Problems("platelet-em")
    for folder in ("images", "labels-class"):
        if not (root / folder).is_dir():
            raise ValueError(
                f"{root} is not Platelet-EM: no folder {root / folder}. Expected images/50-images.tif,"
                " images/24-images.tif,"
                " labels-class/50-class.tif and labels-class/24-class.tif."
            )
    stack, first, end = SLICES[split]
    image_file, label_file = root / "images" / f"{stack}-images.tif", root / "labels-class" / f"{stack}-class.tif"
    image, labels = read_header(image_file, channels=1), read_header(label_file, kind="labels")
    count, label_count = (header.shape[0] if len(header.shape) == 3 else 1 for header in (image, labels))
    shape, label_shape = image.shape[-2:], labels.shape[-2:]
    with found.caught():
        if count != label_count:
            raise ValueError(
                f"{image_file} has {count} slices, its labels {label_file} {label_count}. Expected a label slice for"
                " each image slice."
            )
        if shape != label_shape:
            raise ValueError(
                f"{image_file} has slices of {shape}, its labels {label_file} of {label_shape}. Expected one shape for"
                " both."
            )
        check_not_empty(
            read_volume(label_file, kind="labels"), label_file
        )  # a slice may be empty, a whole stack is a mistake
        if image.dtype.kind != "u":
            raise ValueError(
                f"{image_file} holds {image.dtype} values. Expected 8 or 16 bits without sign: x / 2^bits is the"
                " intensity rule."
            )
    numbers = list(range(first, min(count, label_count, count if end is None else end)))
    if not numbers and not found:
        raise NoImages(f"No {split} slices in {image_file}: it has {count}. Expected slices {first} to {end - 1}.")
    found.report(problems)
    if found:  # its slices do not correspond: there is nothing to go on with
        numbers = []
    reading = Reading(
        intensity=f"fixed:0:{2 ** (8 * image.dtype.itemsize)}",
        classes=MERGED_CLASSES if merge else _classes(root),
        shape=shape,
        highest=MERGED_CLASSES - 1 if merge else None,
    )
    return image_set(
        [Source(f"{stack}/{number:02d}", image_file, label_file, number) for number in numbers],
        reading,
        name="Platelet-EM",
        split=split,
        spacing=SPACING,
        pairs=neighbours(numbers, split),
        cache=cache,
    )


def _classes(root):
    """As many as the two label stacks show, so that all splits have as many."""
    return 1 + max(
        int(whole_labels(read_volume(path, kind="labels"), path).max())
        for path in sorted((root / "labels-class").glob("*-class.tif"))
    )
