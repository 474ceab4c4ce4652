"""From FreeSurfer's subject folders to the brain layout that `brain_mri` reads."""

import concurrent.futures
import dataclasses
import gzip
import os
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.affines import apply_affine
from nibabel.processing import resample_from_to
from tqdm import tqdm

from deepsim_tf.data.freesurfer_classes import merge_ids
from deepsim_tf.files import written_aside

# The common space: MNI305 at 1 mm in FreeSurfer's LIA order, x = 80 - i, z = 98 - j, y = k - 128, which holds x -79..80, z -93..98
# and y -128..95. The MNI305 brain (x -70..70, z -80..85 with the brain stem, y -106..73) has 9 mm to spare on the left and 10 on
# the right, 13 below and above, 22 behind and in front.
GRID_SHAPE = 160, 192, 224
GRID_AFFINE = np.array([[-1, 0, 0, 80], [0, 0, 1, -128], [0, -1, 0, 98], [0, 0, 0, 1]], float)
IMAGE, LABELS = "brain_aligned.nii.gz", "seg_coalesced_aligned.nii.gz"
SPLITS = "train", "val", "test"
AVERAGES = "fsaverage", "cvs_avg35"  # templates that FreeSurfer puts among the subjects; their names begin so
MAX_OUTSIDE = 0.05  # part of the brain that may lie outside the grid
VOLUME_SCALES = 0.2, 5  # determinants of a plausible Talairach transform


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What `prepare_brain_mri` did: names of the finished subjects (earlier runs' too), {name: what is wrong}, the atlas's name."""

    subjects: list
    failed: dict
    atlas: str | None


def prepare_brain_mri(subjects_dir, out, *, atlas=None, fractions=(0.6, 0.2, 0.2), seed=0, jobs=None, verbose=1):
    """Align, crop and relabel FreeSurfer subjects for `brain_mri`: MNI305 at 1 mm, 160 x 192 x 224 voxels, 24 classes.

    Of each subject it reads mri/norm.mgz (or brain.mgz), mri/aparc+aseg.mgz (or aseg.mgz, where cingulate cortex, class 22,
    stays empty and counts as grey matter) and mri/transforms/talairach.xfm, and resamples once: intensities linear, labels
    nearest, 0 outside. It writes

        OUT/data/SUBJECT/brain_aligned.nii.gz           uint8 where the source is uint8, otherwise float32
        OUT/data/SUBJECT/seg_coalesced_aligned.nii.gz   uint8, classes 0-23, see `freesurfer_classes.CLASSES`
        OUT/atlas/                                      the same of one subject, and its name in subject.txt
        OUT/metadata.csv                                subject_id, SPLIT (train, val, test), without the atlas

    Run it again after an interruption, or when there are more subjects: finished ones are skipped, and keep their split.
    A folder is one subject: to keep several scans of one person in one split, write their rows of metadata.csv beforehand.

    Args:
        subjects_dir: FreeSurfer's SUBJECTS_DIR; a subject is a folder in it with a folder mri (fsaverage is left out).
        out: folder to write.
        atlas: name of the subject to use as atlas; default: the first of the seeded order, in the first run.
        fractions: of train, val and test, with the sum 1. A new subject goes to the split that is furthest below its own.
        seed: of the order in which new subjects are assigned.
        jobs: subjects at a time, about 0.5 GB of memory each; default: one for each core.
        verbose: 0 for no progress bar and no messages.

    Returns:
        Prepared, with `subjects`, `failed` and `atlas`. A bad subject does not stop the others.

    Raises:
        ValueError: no subject, all subjects bad, the atlas unknown, bad or another one than before, fractions or jobs that are
            not as above, a metadata.csv of another kind. What is wrong with a single subject is in `failed`.

    Example:
        >>> done = prepare_brain_mri("/data/subjects", "brains", atlas="OAS30001")
        >>> images = ds.data.brain_mri("brains", "train")

    Reference: Czolbe et al., Medical Image Analysis 87 (2023) 102830, section 4.1; for talairach.xfm,
    surfer.nmr.mgh.harvard.edu/fswiki/CoordinateSystems
    """
    names, out = _subjects(Path(subjects_dir)), Path(out)
    if len(fractions) != 3 or not min(fractions) >= 0 or not abs(sum(fractions) - 1) < 1e-6:
        raise ValueError(f"fractions are those of train, val and test: three numbers from 0 on with the sum 1. Received: {fractions}.")
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs is the number of subjects at a time, 1 or more. Received: {jobs}.")
    table = _read_metadata(out / "metadata.csv")
    known_atlas = _read_atlas(out / "atlas", atlas)
    if known_atlas is None and atlas is not None and atlas not in names:
        raise ValueError(f"No subject {atlas!r} in {subjects_dir} to use as atlas. Available: {_few(names)}.")

    failed = _prepare_all({name: (Path(subjects_dir) / name, out / "data" / name) for name in names}, jobs, verbose)
    done = [name for name in names if name not in failed]
    if not done:
        raise ValueError(f"None of the {len(names)} subjects in {subjects_dir} could be prepared. {_few(failed.values(), ' ')}")
    if atlas in failed:
        raise ValueError(f"The atlas {atlas} could not be prepared: choose another one. {failed[atlas]}")

    order = [str(name) for name in np.random.default_rng(seed).permutation(names) if name not in failed]
    if known_atlas is None:
        known_atlas = atlas or order[0]
        with written_aside(out / "atlas") as aside:
            shutil.copytree(out / "data" / known_atlas, aside)
            (aside / "subject.txt").write_text(known_atlas + "\n")
    _write_metadata(out / "metadata.csv", table, order, known_atlas, fractions)
    return Prepared(done, failed, known_atlas)


def _subjects(folder):
    """Sorted names of the subjects in a SUBJECTS_DIR. Links to subjects count, those to FreeSurfer's templates do not."""
    found = sorted(path for path in folder.iterdir() if (path / "mri").is_dir()) if folder.is_dir() else []
    names = [path.name for path in found if not path.name.startswith((".", *AVERAGES)) and not path.resolve().name.startswith(AVERAGES)]
    if not names:
        raise ValueError(f"No FreeSurfer subject in {folder}. Expected folders with mri/norm.mgz and so on; pass the SUBJECTS_DIR of recon-all.")
    return names


def _few(items, separator=", "):
    items = list(items)
    return separator.join(items[:3]) + (f"{separator}and {len(items) - 3} more" if len(items) > 3 else "")


def _prepare_all(folders, jobs, verbose):
    """{name: what is wrong} of the subjects {name: (source, target)} that could not be prepared."""
    failed = {}
    # Threads suffice, because scipy and zlib release the interpreter: two took 0.6 of the time of one (8 subjects of 256^3, 2 cores).
    with concurrent.futures.ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        tasks = {pool.submit(_prepare, *paths): name for name, paths in folders.items()}
        try:
            for task in tqdm(concurrent.futures.as_completed(tasks), "subjects", len(tasks), disable=not verbose):
                try:
                    task.result()
                except ValueError as error:
                    failed[tasks[task]] = str(error)
                    if verbose:
                        tqdm.write(f"{tasks[task]} is left out. {error}")
        except BaseException:  # Ctrl-C, a full disk: no reason to begin the subjects that still wait
            pool.shutdown(cancel_futures=True)
            raise
    return {name: failed[name] for name in folders if name in failed}


def _prepare(source, target):
    """One subject, from its FreeSurfer folder to a folder that is whole or not there; ValueError where the subject is bad."""
    if target.exists():
        return _check_whole(target)
    image, labels, to_mni = _read_subject(source)
    voxels = np.rint(apply_affine(np.linalg.inv(GRID_AFFINE) @ to_mni, np.argwhere(labels)))
    outside = np.any((voxels < 0) | (voxels >= GRID_SHAPE), axis=1)
    if outside.mean() > MAX_OUTSIDE:
        volumes = np.array([outside.sum(), outside.size]) * np.abs(np.linalg.det(to_mni))
        raise ValueError(
            f"{source}: {volumes[0]:.0f} of the brain's {volumes[1]:.0f} mm^3 fall outside the common space, more than"
            f" {MAX_OUTSIDE:.0%}. The talairach.xfm does not fit: check it with tkregister2 --fstal."
        )
    aligned = resample_from_to(nib.Nifti1Image(image.astype(np.float32), to_mni), (GRID_SHAPE, GRID_AFFINE), order=1).get_fdata(dtype=np.float32)
    merged = resample_from_to(nib.Nifti1Image(labels, to_mni), (GRID_SHAPE, GRID_AFFINE), order=0)
    with written_aside(target) as aside:
        aside.mkdir()
        for name, volume in ((IMAGE, np.rint(aligned).astype(np.uint8) if image.dtype == np.uint8 else aligned), (LABELS, merged.dataobj)):
            file = nib.Nifti1Image(volume, GRID_AFFINE)
            file.set_sform(GRID_AFFINE, "talairach")  # of NIfTI's codes the one for this space; "mni" is MNI152
            file.set_qform(GRID_AFFINE, "talairach")
            file.header.set_xyzt_units("mm")
            nib.save(file, aside / name)


def _read_subject(source):
    """Image, merged labels (x, y, z) and the affine from their voxels to MNI305 RAS in mm, of a FreeSurfer folder."""
    image_file, labels_file = _first(source, "norm.mgz", "brain.mgz"), _first(source, "aparc+aseg.mgz", "aseg.mgz")
    to_mni = _read_xfm(_first(source, "transforms/talairach.xfm"))
    (image, affine), (ids, labels_affine) = _read_mgz(image_file), _read_mgz(labels_file)
    if image.shape != ids.shape:
        raise ValueError(f"{image_file} has shape {image.shape}, {labels_file} {ids.shape}. Expected one grid: run recon-all again.")
    if not np.allclose(affine, labels_affine, atol=1e-3):
        found = f"{affine.round(3).tolist()}, {labels_file} {labels_affine.round(3).tolist()}"
        raise ValueError(f"{image_file} has affine {found}. Expected one grid: run recon-all again.")
    if not np.isfinite(image).all():
        raise ValueError(f"{image_file} holds NaN or infinity. Expected the intensities of a brain: run recon-all again.")
    if image.min() == image.max():
        raise ValueError(f"{image_file} is constant, {image.min()} everywhere. Expected a brain on background 0: run recon-all again.")
    if not np.isfinite(ids).all() or not np.array_equal(ids, np.rint(ids)):
        raise ValueError(f"{labels_file} holds values that are no whole numbers. Expected FreeSurfer's ids: was it resampled linearly?")
    labels = merge_ids(ids.astype(np.int32))
    if not labels.any():
        found = _few(str(number) for number in np.unique(ids))
        raise ValueError(f"{labels_file} has no known brain label. Expected FreeSurfer's ids, such as 2, 3, 41, 42. Received: {found}.")
    return image, labels, to_mni @ affine


def _check_whole(folder):
    """Refuse a folder without the image or the labels; this module's own arrive whole."""
    missing = [name for name in (IMAGE, LABELS) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} has no {' and no '.join(missing)}. Remove the folder to have it prepared again.")


def _first(subject, *names):
    """The first of some files that the subject has."""
    for name in names:
        if (subject / "mri" / name).is_file():
            return subject / "mri" / name
    raise ValueError(f"{subject} has no mri/{' and no mri/'.join(names)}. Run recon-all to its end, or take the subject away.")


def _read_mgz(path):
    """Voxels (3-D) and the affine to scanner RAS in mm."""
    try:
        # The whole gzip stream, so that its checksum is compared: nibabel alone stops after the last voxel.
        image = nib.MGHImage.from_bytes(gzip.decompress(path.read_bytes()))
        voxels = np.asarray(image.dataobj)
    except Exception as error:  # damaged files raise OSError, EOFError, zlib.error, struct.error, nibabel's own, ...
        raise ValueError(f"Cannot read {path}: expected an MGZ volume. It seems truncated or damaged: copy it again. ({error})") from error
    if voxels.ndim != 3 or not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine)) < 1e-6:
        raise ValueError(f"{path}: expected a 3-D volume with a regular affine. Received: shape {voxels.shape}, affine {image.affine.tolist()}.")
    return voxels, image.affine


def _read_xfm(path):
    """The matrix (4 x 4) of an MNI transform file, scanner RAS -> MNI305 RAS, both in mm."""
    text = re.sub("%.*", "", path.read_text(errors="replace"))  # without comments
    blocks = re.findall(r"\bLinear_Transform\s*=([^;]*);", text)
    try:
        matrix = np.array([[float(number) for number in line.split()] for line in blocks[0].strip().splitlines()])
    except (IndexError, ValueError):
        matrix = np.zeros(0)
    # A second transform in the file, of any kind, would have to be applied too.
    if not text.startswith("MNI Transform File") or text.count("_Transform") != 1 or matrix.shape != (3, 4) or not np.isfinite(matrix).all():
        raise ValueError(
            f"{path} is not an affine MNI transform file, or cut short. Expected the line 'MNI Transform File' and one"
            " 'Linear_Transform =' with 3 rows of 4 numbers and a ';'. Copy it again, or run talairach_avi again."
        )
    scale = np.linalg.det(matrix[:, :3])
    low, high = VOLUME_SCALES
    if not low <= scale <= high:
        raise ValueError(f"{path} multiplies volumes by {scale:.3g}. Expected {low} to {high}: run talairach_avi again.")
    return np.vstack([matrix, [0, 0, 0, 1]])


def _read_atlas(folder, asked):
    """Name of the atlas that is there, None where there is none yet; refuses to exchange it."""
    if not folder.exists():
        return None
    _check_whole(folder)
    if not (folder / "subject.txt").is_file():
        raise ValueError(f"{folder} does not say which subject it is. Write the name into {folder / 'subject.txt'}, or remove the folder.")
    name = (folder / "subject.txt").read_text().strip()
    if asked not in (None, name):
        raise ValueError(f"The atlas of {folder.parent} is {name}, not {asked}. Prepare into another folder to use another atlas.")
    return name


def _read_metadata(file):
    """The table of subjects and splits; an empty one where there is no file."""
    if not file.is_file():
        return pd.DataFrame({"subject_id": [], "SPLIT": []}, dtype=str)
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)  # "001" and "NA" are names
        good = table["SPLIT"].isin(SPLITS).all() and table["subject_id"].is_unique
    except (ValueError, KeyError):  # pandas's parser errors are ValueErrors
        good = False
    if not good:
        raise ValueError(f"Expected in {file} the columns subject_id, each once, and SPLIT, one of {', '.join(SPLITS)}. Correct or remove it.")
    return table


def _write_metadata(file, table, order, atlas, fractions):
    """Give each subject of `order` without a row a split, and write the table."""
    rows = table[table["subject_id"] != atlas]
    counts = [int((rows["SPLIT"] == split).sum()) for split in SPLITS]
    new = []
    for name in order:
        if name != atlas and name not in set(rows["subject_id"]):
            # The one that would be furthest below its fraction once the subject is counted.
            split = np.argmax(np.multiply(fractions, sum(counts) + 1) - counts)
            counts[split] += 1
            new.append({"subject_id": name, "SPLIT": SPLITS[split]})
    if new or len(rows) < len(table) or not file.is_file():
        with written_aside(file) as aside:
            pd.concat([rows, pd.DataFrame(new, columns=["subject_id", "SPLIT"])]).to_csv(aside, index=False)
