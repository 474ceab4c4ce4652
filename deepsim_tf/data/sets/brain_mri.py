"""Brain-MRI: skull-stripped, affinely aligned T1 volumes, each registered to an atlas."""

from pathlib import Path

from deepsim_tf.checks import known
from deepsim_tf.data.label_map import read_label_map
from deepsim_tf.data.pairing import SPLITS, to_atlas
from deepsim_tf.data.problems import NoImages, Problems
from deepsim_tf.data.same_grid import check_grids, same_affine
from deepsim_tf.data.sources import Reading, Source, image_set
from deepsim_tf.data.validation import whole_labels
from deepsim_tf.formats import read_table, read_volume

IMAGE, LABELS = "brain_aligned.nii.gz", "seg_coalesced_aligned.nii.gz"
CLASSES = 24  # the paper's, background included; an atlas with more has more
INTENSITY = "fixed:0:128"


def brain_mri(root, split, *, label_map=None, cache="auto", problems=None):
    """T1 brains in the paper's layout, from `deepsim prepare brain-mri`; each is registered to the atlas.

    Intensities are x / 128, not clipped. There are 24 classes, or as many as the atlas shows where it has more, or as
    many as the label map has. The paper's classes, and those of `deepsim prepare brain-mri`, hold both halves of the
    brain: flips are among its augmentations, and a segmentation of flipped brains cannot tell left from right. Labels
    that do need a label map, to merge them.

    Args:
        root: folder with data/SUBJECT/brain_aligned.nii.gz and seg_coalesced_aligned.nii.gz, the same two files in
            atlas/, and metadata.csv with the columns subject_id and SPLIT.
        split: "train", "val" or "test".
        label_map: None, or classes of one's own: {label: class}, or a CSV file with the columns label and class; class
            0 drops a label.
        cache: see ImageSet; "auto" streams what is larger than 2 GiB.
        problems: None raises a ValueError about the first problem; a list receives all of them, and their subjects are
            left out.

    Returns:
        ImageSet; pairs are (i, None), moving to the atlas.

    Raises:
        ValueError: unknown split, a layout of another kind, missing or duplicate subjects, a file of another shape or
            affine than the atlas.

    Example:
        >>> images = ds.data.brain_mri("LPBA40", "val")
        >>> len(images), images.shape, images.classes, images.pairs()
        (2, (160, 192, 160), 57, [(0, None), (1, None)])

    Reference: Czolbe et al. 2023, section "Data".
    """
    known("split", split, SPLITS)
    root, found = Path(root), Problems("brain-mri")
    atlas = Source("atlas", root / "atlas" / IMAGE, root / "atlas" / LABELS)
    header = check_grids(atlas)
    label_map = None if label_map is None else read_label_map(label_map)
    reading = Reading(
        intensity=INTENSITY, classes=_classes(atlas.labels, label_map), shape=header.shape, label_map=label_map
    )

    subjects = _subjects(root / "metadata.csv", split, found)
    if not subjects:
        found.report(problems)
        raise NoImages(f"{root / 'metadata.csv'} has no {split} subjects. Expected rows with SPLIT {split}.")
    sources, loaded = [], None
    for subject in subjects:
        source = Source(subject, *(root / "data" / subject / name for name in (IMAGE, LABELS)))
        with found.caught():
            _check_subject(source, atlas, header, root)
            sources.append(source)
    with found.caught():
        loaded = reading.load(atlas)
    found.report(problems)
    return image_set(
        sources,
        reading,
        name="Brain-MRI",
        split=split,
        spacing=header.spacing,
        orientation=header.orientation,
        pairs=to_atlas(len(sources) if loaded else 0),
        atlas=loaded,
        cache=cache,
    )


def _classes(atlas_labels, label_map):
    if label_map is not None:
        return 1 + max(target for _, target in label_map)
    return max(CLASSES, int(whole_labels(read_volume(atlas_labels, kind="labels"), atlas_labels).max()) + 1)


def _subjects(path, split, found):
    """The subjects of a split in metadata.csv; problems of all its rows go to `found`."""
    if not path.is_file():
        raise ValueError(
            f"No file {path}. Expected the brain layout: metadata.csv, data/SUBJECT/ and atlas/ (`deepsim prepare"
            " brain-mri`)."
        )
    table = read_table(path, "Expected the columns subject_id and SPLIT")
    missing = [name for name in ("subject_id", "SPLIT") if name not in table]
    if missing:
        raise ValueError(
            f"{path} has no column {' and no column '.join(missing)}. Expected subject_id and SPLIT. Received:"
            f" {', '.join(table)}."
        )
    table = table[(table != "").any(axis=1)]  # without blank lines
    for subject in table["subject_id"][
        [name in ("", ".", "..") or "/" in name or "\\" in name for name in table["subject_id"]]
    ].unique():
        found.append(f"{path} has the subject {subject!r}. Expected the name of a folder in data.")
    for subject in table["subject_id"][table["subject_id"].duplicated()].unique():
        found.append(f"{path} lists subject {subject!r} more than once. Expected one row a subject: remove the others.")
    unknown = table[~table["SPLIT"].isin(SPLITS)]
    for subject, other in zip(unknown["subject_id"], unknown["SPLIT"]):
        found.append(f"{path} has the unknown split {other!r} for subject {subject!r}. Available: {', '.join(SPLITS)}.")
    return list(dict.fromkeys(table["subject_id"][table["SPLIT"] == split]))


def _check_subject(source, atlas, header, root):
    folder = source.image.parent
    if not folder.is_dir():
        raise ValueError(
            f"{root / 'metadata.csv'} lists subject {source.name!r}, and there is no folder {folder}. Add it, or"
            " remove the row."
        )
    own = check_grids(source)
    if own.shape != header.shape:
        raise ValueError(
            f"{source.image} has shape {own.shape}, the atlas {atlas.image} {header.shape}. Expected one grid for all"
            " subjects."
        )
    same_affine(source.image, own, atlas.image, header)
