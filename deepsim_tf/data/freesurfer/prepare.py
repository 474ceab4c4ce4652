"""From FreeSurfer's subject folders to the brain layout that `brain_mri` reads."""

import concurrent.futures
import dataclasses
import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from deepsim_tf.data.freesurfer.subject import check_whole, few, prepare_subject
from deepsim_tf.data.pairing import SPLITS
from deepsim_tf.files import written_aside

AVERAGES = "fsaverage", "cvs_avg35"  # templates that FreeSurfer puts among the subjects; their names begin so


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What `prepare_brain_mri` did.

    Names of the finished subjects (earlier runs' too), {name: what is wrong}, the atlas's name.
    """

    subjects: list
    failed: dict
    atlas: str | None


def prepare_brain_mri(subjects_dir, out, *, atlas=None, fractions=(0.6, 0.2, 0.2), seed=0, jobs=None, verbose=1):
    """Align, crop and relabel FreeSurfer subjects for `brain_mri`: MNI305 at 1 mm, 160 x 192 x 224 voxels, 24 classes.

    Of each subject it reads mri/norm.mgz (or brain.mgz), mri/aparc+aseg.mgz (or aseg.mgz, where cingulate cortex, class
    22, stays empty and counts as grey matter) and mri/transforms/talairach.xfm, and resamples once: intensities linear,
    labels nearest, 0 outside. It writes

        OUT/data/SUBJECT/brain_aligned.nii.gz           uint8 where the source is uint8, otherwise float32
        OUT/data/SUBJECT/seg_coalesced_aligned.nii.gz   uint8, classes 0-23, see `freesurfer_classes.CLASSES`
        OUT/atlas/                                      the same of one subject, and its name in subject.txt
        OUT/metadata.csv                                subject_id, SPLIT (train, val, test), without the atlas

    Run it again after an interruption, or when there are more subjects: finished ones are skipped, and keep their
    split.
    A folder is one subject: to keep several scans of one person in one split, write their rows of metadata.csv
    beforehand.

    Args:
        subjects_dir: FreeSurfer's SUBJECTS_DIR; a subject is a folder in it with a folder mri (fsaverage is left out).
        out: folder to write.
        atlas: name of the subject to use as atlas; default: the first of the seeded order, in the first run.
        fractions: of train, val and test, with the sum 1. A new subject goes to the split that is furthest below its
            own.
        seed: of the order in which new subjects are assigned.
        jobs: subjects at a time, about 0.5 GB of memory each; default: one for each core.
        verbose: 0 for no progress bar and no messages.

    Returns:
        Prepared, with `subjects`, `failed` and `atlas`. A bad subject does not stop the others.

    Raises:
        ValueError: no subject, all subjects bad, the atlas unknown, bad or another one than before, fractions or jobs
            that are not as above, a metadata.csv of another kind. What is wrong with a single subject is in `failed`.

    Example:
        >>> done = prepare_brain_mri("/data/subjects", "brains", atlas="OAS30001")
        >>> images = ds.data.brain_mri("brains", "train")

    Reference: Czolbe et al., Medical Image Analysis 87 (2023) 102830, section 4.1; for talairach.xfm,
    surfer.nmr.mgh.harvard.edu/fswiki/CoordinateSystems
    """
    names, out = _subjects(Path(subjects_dir)), Path(out)
    if len(fractions) != 3 or not min(fractions) >= 0 or not abs(sum(fractions) - 1) < 1e-6:
        raise ValueError(
            "fractions are those of train, val and test: three numbers from 0 on with the sum 1. Received:"
            f" {fractions}."
        )
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs is the number of subjects at a time, 1 or more. Received: {jobs}.")
    table = _read_metadata(out / "metadata.csv")
    known_atlas = _read_atlas(out / "atlas", atlas)
    if known_atlas is None and atlas is not None and atlas not in names:
        raise ValueError(f"No subject {atlas!r} in {subjects_dir} to use as atlas. Available: {few(names)}.")

    failed = _prepare_all({name: (Path(subjects_dir) / name, out / "data" / name) for name in names}, jobs, verbose)
    done = [name for name in names if name not in failed]
    if not done:
        raise ValueError(
            f"None of the {len(names)} subjects in {subjects_dir} could be prepared. {few(failed.values(), ' ')}"
        )
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
    """Sorted names of the subjects in a SUBJECTS_DIR.

    Links to subjects count, those to FreeSurfer's templates do not.
    """
    found = sorted(path for path in folder.iterdir() if (path / "mri").is_dir()) if folder.is_dir() else []
    names = [
        path.name
        for path in found
        if not path.name.startswith((".", *AVERAGES)) and not path.resolve().name.startswith(AVERAGES)
    ]
    if not names:
        raise ValueError(
            f"No FreeSurfer subject in {folder}. Expected folders with mri/norm.mgz and so on; pass the SUBJECTS_DIR"
            " of recon-all."
        )
    return names


def _prepare_all(folders, jobs, verbose):
    """{name: what is wrong} of the subjects {name: (source, target)} that could not be prepared."""
    failed = {}
    # Threads suffice, because scipy and zlib release the interpreter: two took 0.6 of the time of one (8 subjects of
    # 256^3, 2 cores).
    with concurrent.futures.ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        tasks = {pool.submit(prepare_subject, *paths): name for name, paths in folders.items()}
        try:
            for task in tqdm(concurrent.futures.as_completed(tasks), "subjects", len(tasks), disable=not verbose):
                try:
                    task.result()
                except ValueError as error:
                    failed[tasks[task]] = str(error)
                except OSError as error:  # a file without permission is the subject's, a full disk is everybody's
                    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                        raise
                    failed[tasks[task]] = f"{error}. Check the file and its permissions."
        except BaseException:  # Ctrl-C, a full disk: no reason to begin the subjects that still wait
            pool.shutdown(cancel_futures=True)
            raise
    return {name: failed[name] for name in folders if name in failed}


def _read_atlas(folder, asked):
    """Name of the atlas that is there, None where there is none yet; refuses to exchange it."""
    if not folder.exists():
        return None
    check_whole(folder)
    if not (folder / "subject.txt").is_file():
        raise ValueError(
            f"{folder} does not say which subject it is. Write the name into {folder / 'subject.txt'}, or remove the"
            " folder."
        )
    name = (folder / "subject.txt").read_text().strip()
    if asked not in (None, name):
        raise ValueError(
            f"The atlas of {folder.parent} is {name}, not {asked}. Prepare into another folder to use another atlas."
        )
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
        raise ValueError(
            f"Expected in {file} the columns subject_id, each once, and SPLIT, one of {', '.join(SPLITS)}. Correct or"
            " remove it."
        )
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
