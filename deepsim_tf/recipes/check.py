"""Looking through a dataset before anything is trained on it."""

import contextlib

from deepsim_tf import checks
from deepsim_tf.data.pairing import SPLITS
from deepsim_tf.data.problems import NoImages
from deepsim_tf.recipes import DATASETS, check_dataset_options


def check_dataset(dataset, path, *, verbose=1, **options):
    """Read every file of every split, and collect what is wrong: the checks of a training, which stops at the first.

    Args:
        dataset: a name of `recipes.DATASETS`.
        path: its folder, or the CSV file of own data.
        verbose: 1 shows a progress bar.
        options: further arguments of the dataset's function.

    Returns:
        (lines, problems): what each split holds, and sentences, one a problem.

    Raises:
        ValueError: unknown dataset or option.
    """
    checks.known("dataset", dataset, DATASETS)
    check_dataset_options(dataset, options)
    lines, problems, pairs = [], [], {}
    # The rows of a CSV file are looked through once, whatever their split.
    for split in (None,) if dataset == "csv" else SPLITS:
        try:
            images = DATASETS[dataset].load(path, split, cache=None, problems=problems, **options)
            images.check(problems=problems, verbose=verbose)
        except NoImages as error:
            lines.append(f"{split}: none")
            nothing = str(error)
        except ValueError as error:
            problems.extend([str(error)] if str(error) not in problems else [])
        else:
            labels = f"{images.classes} classes" if images.classes else "no labels"
            labels += ", landmarks" if images.pairs() and images.landmarks(0) else ""
            size = " x ".join(map(str, images.shape))
            size += f" with {images.channels} channels" if images.channels > 1 else ""
            lines.append(
                f"{images.split}: {len(images)} images of {size}, {len(images.pairs())} pairs, {labels}, intensity"
                f" {images.intensity}"
            )
            pairs[images.split] = len(images.pairs())
    if not problems and all(line.endswith(": none") for line in lines):
        problems.append(f"{path} holds no image of any split. {nothing}")
    if not problems:
        lines += _for_a_training(dataset, path, pairs, options)
    return lines, problems


def _for_a_training(dataset, path, pairs, options):
    """What a training would miss: no problem of the files, but good to know before it says so."""
    if dataset == "csv":
        pairs = {}
        for split in ("train", "val"):
            with contextlib.suppress(ValueError):
                pairs[split] = len(DATASETS[dataset].load(path, split, cache=None, **options).pairs())
    notes = [
        f"note: no {split} images; a training needs train and val" for split in ("train", "val") if split not in pairs
    ]
    return notes + [
        f"note: no pairs in {split}; a segmentation needs none, a registration does"
        for split in pairs
        if not pairs[split]
    ]
