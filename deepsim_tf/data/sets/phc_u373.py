"""PhC-C2DH-U373: phase-contrast cell movies of the Cell Tracking Challenge."""

import re
from pathlib import Path

from deepsim_tf.checks import known
from deepsim_tf.data.pairing import SPLITS, neighbours
from deepsim_tf.data.problems import NoImages, Problems
from deepsim_tf.data.same_grid import check_grids
from deepsim_tf.data.sets.download import Download
from deepsim_tf.data.sources import Reading, Source, image_set

# Split: (sequence, first frame, last frame); None: to the end. Frames 50-59 lie between val and test so that neighbours
# do not leak.
FRAMES = {"train": ("01", 0, None), "val": ("02", 0, 49), "test": ("02", 60, 114)}
NATIVE_SHAPE = (520, 696)
CROP = (4, 516), (4, 692)  # -> 512 x 688, divisible by 16
INTENSITY = "fixed:0:256"
DOWNLOAD = Download(  # the challenge publishes neither size nor hash
    "http://data.celltrackingchallenge.net/training-datasets/PhC-C2DH-U373.zip",
    "PhC-C2DH-U373",
    ("01", "02", "01_ST/SEG", "02_ST/SEG"),
)
SPACING = (0.00065, 0.00065)  # mm: the challenge gives 0.65 x 0.65 micrometres


def phc_u373(root, split, *, cache="auto", problems=None):
    """Glioblastoma cells (U373), phase contrast, 512 x 688 after the crop; classes: 0 background, 1 cell.

    Train is sequence 01, with every frame at distance 1 or 2 as a candidate partner. Val and test are
    frames 0-49 and 60-114 of sequence 02, where moving is a frame and fixed the next one.
    Intensities are x / 256. The instance masks become one class.

    Args:
        root: folder with 01, 02 (t000.tif, ...) and 01_ST/SEG, 02_ST/SEG (man_seg000.tif, ...).
        split: "train", "val" or "test".
        cache: see ImageSet.
        problems: None raises a ValueError about the first problem; a list receives all of them, and their frames are
            left out.

    Returns:
        ImageSet; images (512, 688, 1).

    Raises:
        ValueError: unknown split, a folder, mask or frame that is missing, a file of another shape.

    Example:
        >>> images = ds.data.phc_u373("PhC-C2DH-U373", "val")
        >>> len(images), images.shape, images.pairs()[0]
        (50, (512, 688), (0, 1))

    Reference: celltrackingchallenge.net/2d-datasets
    """
    known("split", split, SPLITS)
    sequence, first, last = FRAMES[split]
    found = Problems("phc-u373")
    frames = _frames(Path(root), sequence, first, last, split, found)
    found.report(problems)
    reading = Reading(
        intensity=INTENSITY, classes=2, shape=tuple(stop - start for start, stop in CROP), crop=CROP, highest=1
    )
    return image_set(
        list(frames.values()),
        reading,
        name="PhC-U373",
        split=split,
        spacing=SPACING,
        pairs=neighbours(list(frames), split),
        cache=cache,
    )


def _frames(root, sequence, first, last, split, found):
    """{frame number: Source} of a split, all present and of the right shape; the others' problems go to `found`."""
    folder, masks = root / sequence, root / f"{sequence}_ST" / "SEG"
    for path in (folder, masks):
        if not path.is_dir():
            raise ValueError(
                f"{root} is not PhC-C2DH-U373: no folder {path}. Expected 01, 02, 01_ST/SEG and 02_ST/SEG;"
                " pass the folder that holds them (celltrackingchallenge.net/2d-datasets)."
            )
    matches = [(re.fullmatch(r"t(\d+)\.tif", path.name), path) for path in sorted(folder.iterdir())]
    images = {int(match[1]): (match[1], path) for match, path in matches if match}
    chosen = {
        number: item for number, item in images.items() if first <= number <= (last if last is not None else number)
    }
    if not chosen:
        wanted = f"t{first:03d}.tif to t{last:03d}.tif" if last is not None else "t000.tif and so on"
        there = f"{images[min(images)][1].name} to {images[max(images)][1].name}" if images else "no frame at all"
        raise NoImages(
            f"No {split} frames in {folder}. Expected {wanted}, found {there}. Download the complete PhC-C2DH-U373."
        )
    frames = {}
    for number, (digits, image_file) in sorted(chosen.items()):
        with found.caught():
            frames[number] = _frame(Source(f"{sequence}/{image_file.stem}", image_file, masks / f"man_seg{digits}.tif"))
    return frames


def _frame(source):
    """The Source, if its files are what the challenge has."""
    if not source.labels.is_file():
        raise ValueError(
            f"No mask for frame {source.image.name}. Expected {source.labels.name} in {source.labels.parent}."
        )
    header = check_grids(source)
    if header.shape != NATIVE_SHAPE:
        raise ValueError(
            f"{source.image} has shape {header.shape}. Expected {NATIVE_SHAPE}, the size of every PhC-C2DH-U373 frame."
        )
    if header.dtype != "uint8":
        raise ValueError(
            f"{source.image} holds {header.dtype} values. Expected 8 bits, as the challenge has: its intensity rule is"
            " x / 256."
        )
    return source
