"""Hippocampus: crops around the hippocampus of the Medical Segmentation Decathlon (Task04), between subjects."""

import collections
import json
import random
from pathlib import Path

from deepsim_tf.checks import known
from deepsim_tf.data.pairing import SPLITS, subjects
from deepsim_tf.data.problems import NoImages, Problems
from deepsim_tf.data.same_grid import check_grids
from deepsim_tf.data.sources import Reading, Source, image_set

SHAPE = (64, 64, 64)
CLASSES = 3  # background, anterior, posterior
FRACTIONS = {"train": (0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1)}


def hippocampus(root, split, *, cache="auto", problems=None):
    """T1 crops at 1 mm, centre-padded to 64^3; classes: 0 background, 1 anterior, 2 posterior.

    In train, every ordered pair of two subjects is a candidate; in val and test, subject i and subject n - 1 - i, both
    ways.
    Intensities: quantiles 1 % and 99 % to 0 and 1. The split is that of dataset.json where it has one, else the
    paper's: its list shuffled with random.Random(42), 60, 20 and 20 %.

    Args:
        root: folder with dataset.json, imagesTr and labelsTr.
        split: "train", "val" or "test".
        cache: see ImageSet.
        problems: None raises a ValueError about the first problem; a list receives all of them, and their subjects are
            left out.

    Returns:
        ImageSet; images (64, 64, 64, 1).

    Raises:
        ValueError: unknown split, one that dataset.json does not have, a missing file, image and labels of different
            shape or affine, a crop larger than 64 voxels.

    Example:
        >>> images = ds.data.hippocampus("Task04_Hippocampus", "val")
        >>> len(images), images.pairs()[:2]
        (52, [(0, 51), (1, 50)])

    Reference: Antonelli et al., Nature Communications 13, 4128 (2022); medicaldecathlon.com
    """
    known("split", split, SPLITS)
    root, found = Path(root), Problems("hippocampus")
    sources, spacing, orientations = [], None, set()
    splits = _splits(root)
    if not splits.get(split):
        raise NoImages(
            f"{root / 'dataset.json'} has no {split} subjects in its `split`. Available:"
            f" {', '.join(n for n in splits if splits[n])}."
        )
    for name, times in collections.Counter(splits[split]).items():
        if times > 1:
            found.append(
                f"{root / 'dataset.json'} lists {name} {times} times in {split}. Expected each subject once: remove"
                " the others."
            )
    for name in dict.fromkeys(splits[split]):
        source = Source(name.removesuffix(".nii.gz"), root / "imagesTr" / name, root / "labelsTr" / name)
        with found.caught():
            header = check_grids(source)
            if len(header.shape) != 3 or any(n > m for n, m in zip(header.shape, SHAPE)):
                raise ValueError(
                    f"{source.image} has shape {header.shape}. Expected a volume of at most {SHAPE} voxels, to be"
                    " padded to that."
                )
            spacing = spacing or header.spacing
            if any(abs(a - b) > 0.01 * b for a, b in zip(header.spacing, spacing)):
                raise ValueError(
                    f"{source.image} has voxels of {header.spacing} mm. Expected {spacing}, as the first image has."
                )
            orientations.add(header.orientation)
            sources.append(source)
    found.report(problems)
    return image_set(
        sources,
        Reading(intensity="quantile", classes=CLASSES, shape=SHAPE, fit="pad"),
        name="Hippocampus",
        split=split,
        spacing=spacing or (1, 1, 1),
        pairs=subjects(len(sources), split),
        orientation=orientations.pop() if len(orientations) == 1 else None,
        cache=cache,
    )


def _splits(root):
    """{split: file names}, in the order of dataset.json."""
    path = root / "dataset.json"
    if not path.is_file():
        raise ValueError(
            f"{root} is not Task04_Hippocampus: no file {path}. Expected dataset.json, imagesTr and labelsTr."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if "split" in content:
            if not all(isinstance(files, list) for files in content["split"].values()):
                raise TypeError("a split that is no list")
            return {name: [Path(file).name for file in files] for name, files in content["split"].items()}
        names = [Path(item["image"]).name for item in content["training"]]
        random.Random(42).shuffle(names)
        return {name: names[int(low * len(names)) : int(high * len(names))] for name, (low, high) in FRACTIONS.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{path} cannot be read. Expected the decathlon's JSON, with a list `training` of image and label."
        ) from None
