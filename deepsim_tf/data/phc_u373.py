"""PhC-C2DH-U373: phase-contrast cell movies of the Cell Tracking Challenge."""

import re
from pathlib import Path

import numpy as np

from deepsim_tf.data.image_set import ImageSet
from deepsim_tf.data.intensity import apply_intensity
from deepsim_tf.data.volumes import read_volume, volume_shape

# split: (sequence, first frame, last frame); None: to the end. Frames 50-59 lie between val and test so that neighbours do not leak.
SPLITS = {"train": ("01", 0, None), "val": ("02", 0, 49), "test": ("02", 60, 114)}
NATIVE_SHAPE = (520, 696)
CROP = slice(4, 516), slice(4, 692)  # -> 512 x 688, divisible by 16
INTENSITY = "fixed:0:256"
SPACING = (0.00065, 0.00065)  # mm: the challenge gives 0.65 x 0.65 micrometres


def phc_u373(root, split):
    """Glioblastoma cells (U373), phase contrast, 512 x 688 after the crop; classes: 0 background, 1 cell.

    Train is sequence 01, with every frame at distance 1 or 2 as a candidate partner. Val and test are
    frames 0-49 and 60-114 of sequence 02, where moving is a frame and fixed the next one.
    Intensities are x / 256. The instance masks become one class.

    Args:
        root: folder with 01, 02 (t000.tif, ...) and 01_ST/SEG, 02_ST/SEG (man_seg000.tif, ...).
        split: "train", "val" or "test".

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
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}. Available: {', '.join(SPLITS)}.")
    sequence, first, last = SPLITS[split]
    frames = _frames(Path(root), sequence, first, last, split)
    numbers = sorted(frames)

    def load(i):
        image_file, mask_file = frames[numbers[i]]
        image, mask = apply_intensity(read_volume(image_file), INTENSITY), read_volume(mask_file)
        if mask.dtype.kind == "f":
            raise ValueError(f"{mask_file}: expected an integer instance mask. Received: {mask.dtype}.")
        return image[CROP][..., None], (mask[CROP] > 0).astype(np.int32)

    # By frame number, not by position: where a frame is missing, its neighbours are two apart.
    index = {number: i for i, number in enumerate(numbers)}
    steps = (-2, -1, 1, 2) if split == "train" else (1,)
    return ImageSet(
        load,
        [f"{sequence}/{frames[number][0].stem}" for number in numbers],
        name="PhC-U373",
        split=split,
        classes=2,
        shape=tuple(s.stop - s.start for s in CROP),
        spacing=SPACING,
        intensity=INTENSITY,
        pairs=[(index[n], index[n + step]) for n in numbers for step in steps if n + step in index],
    )


def _frames(root, sequence, first, last, split):
    """{frame number: (image file, mask file)} of a split, all present and of the right shape."""
    folder, masks = root / sequence, root / f"{sequence}_ST" / "SEG"
    for path in (folder, masks):
        if not path.is_dir():
            raise ValueError(
                f"{root} is not PhC-C2DH-U373: no folder {path}. Expected 01, 02, 01_ST/SEG and 02_ST/SEG;"
                " pass the folder that holds them (celltrackingchallenge.net/2d-datasets)."
            )
    matches = [(re.fullmatch(r"t(\d+)\.tif", path.name), path) for path in sorted(folder.iterdir())]
    images = {int(match[1]): (match[1], path) for match, path in matches if match}
    chosen = {number: item for number, item in images.items() if first <= number <= (last if last is not None else number)}
    if not chosen:
        wanted = f"t{first:03d}.tif to t{last:03d}.tif" if last is not None else "t000.tif and so on"
        found = f"{images[min(images)][1].name} to {images[max(images)][1].name}" if images else "no frame at all"
        raise ValueError(f"No {split} frames in {folder}. Expected {wanted}, found {found}. Download the complete PhC-C2DH-U373.")
    frames = {}
    for number, (digits, image_file) in chosen.items():
        mask_file = masks / f"man_seg{digits}.tif"
        if not mask_file.is_file():
            raise ValueError(f"No mask for frame {image_file.name}. Expected {mask_file.name} in {masks}.")
        shapes = volume_shape(image_file), volume_shape(mask_file)
        if shapes[0] != shapes[1]:
            raise ValueError(f"{image_file} has shape {shapes[0]}, its mask {mask_file} {shapes[1]}. Expected {NATIVE_SHAPE} for both.")
        if shapes[0] != NATIVE_SHAPE:
            raise ValueError(f"{image_file} has shape {shapes[0]}. Expected {NATIVE_SHAPE}, the size of every PhC-C2DH-U373 frame.")
        frames[number] = image_file, mask_file
    return frames
