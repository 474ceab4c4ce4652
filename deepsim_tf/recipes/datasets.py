"""The table of data sets: one entry each, which recipes, the command, its help, checks and reports read.

To add a data set:
1. its loader, a function of (root, split, *, cache, problems, and options of its own) that gives an `ImageSet`
   (`data/sets/`), and
2. an entry in `DATASETS`: the key is the name on the command line. `like` names a data set of the table of losses
   whose lambda it takes, `weights` holds its own; `presets` needs at least "cpu".
"""

import dataclasses
import os
from collections.abc import Callable
from typing import Literal

from deepsim_tf import augmentation, data
from deepsim_tf.augmentation.spatial import VOLUMES
from deepsim_tf.checks import Option
from deepsim_tf.data.sets import phc_u373
from deepsim_tf.data.sets.download import Download
from deepsim_tf.losses.table import LOSSES
from deepsim_tf.recipes import presets as p
from deepsim_tf.recipes.presets import Preset

SYNTHETIC_PAIRS = {"train": 64, "val": 8, "test": 24}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """A data set that recipes and the command know by name.

    Args:
        load: function of (root, split, *, cache, problems, **options) that gives an ImageSet.
        about: one line, for help and docs.
        place: what root is: "folder", "CSV file", or None where the images are made, not read.
        ndim: number of axes of its images; None where only the files tell.
        unit: in which lengths are shown: "mm", "µm" or "voxels". Images say their spacing in mm, whatever this is.
        intensities: range of the intensities, which the bins of NMI cover.
        options: further arguments of `load`, by name.
        affine: arguments of `augmentation.RandomAffine`; None: the paper's for images of as many axes.
        like: the data set whose lambda it takes in the table of losses; None: its own name's.
        weights: lambda of single losses that go before those.
        download: where it is published, for `deepsim download`; None where there is none to fetch it from.
        presets: dict from name to Preset.
    """

    load: Callable[..., data.ImageSet]
    about: str
    presets: dict[str, Preset]
    place: str | None = "folder"
    ndim: int | None = None
    unit: str = "mm"
    intensities: tuple[float, float] = (0.0, 1.0)
    options: dict[str, Option] = dataclasses.field(default_factory=dict)
    affine: dict | None = None
    like: str | None = None
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    download: Download | None = None

    def augmentation(self, ndim):
        """The RandomAffine of a training on images of `ndim` axes."""
        by_axes = {} if ndim == 2 else VOLUMES
        return augmentation.RandomAffine(**(by_axes if self.affine is None else self.affine))


def weight_of(dataset, loss):
    """Lambda of a loss on a data set, by their names; None where it is not known."""
    entry = DATASETS[dataset]
    return entry.weights.get(loss, LOSSES[loss].weights.get(entry.like or dataset))


def _synthetic(kind, size):
    # An unknown split is for `synthetic` to refuse. What it makes is in memory, and has no problems.
    return lambda root, split, **_: data.synthetic(kind, split, size=size, count=SYNTHETIC_PAIRS.get(split, 1))


_LABEL_MAP = Option(
    str | os.PathLike | dict | list,  # a recipe holds the file's content, a list of pairs
    "CSV file with the columns label and class; merges labels, class 0 drops them",
)

DATASETS = {
    "phc-u373": DatasetEntry(
        load=data.phc_u373,
        about="cells in phase contrast, 512 x 688, 2 classes (PhC-C2DH-U373)",
        ndim=2,
        unit="µm",
        download=phc_u373.DOWNLOAD,
        presets={
            "cpu": Preset(p.CPU_HALF, {"epochs": 15}, {"epochs": 40}),
            "gpu": Preset(p.GPU_2D, **p.GPU_EPOCHS),
            "paper": Preset(
                {**p.PAPER_2D, "batch_size": 5},
                {"steps_per_epoch": 23, "epochs": 4348},  # 115 frames; 50 k updates
                {"steps_per_epoch": 22, "epochs": 3000},  # 11 updates an epoch, 33 k
            ),
        },
    ),
    "platelet-em": DatasetEntry(
        load=data.platelet_em,
        about="platelets in electron microscopy, slices of 800 x 800, 3 classes",
        ndim=2,
        unit="µm",
        options={"merge": Option(bool, "3 classes, or those of the files")},
        presets={
            "cpu": Preset(p.CPU_HALF, {"epochs": 10}, {"batch_size": 2, "steps_per_epoch": 40, "epochs": 15}),
            "gpu": Preset(p.GPU_2D, **p.GPU_EPOCHS),
            "paper": Preset(
                {**p.PAPER_2D, "batch_size": 3, "steps_per_epoch": 16},  # 50 slices
                {"epochs": 6250},  # 50 k updates
                {"epochs": 3000},  # 24 k
            ),
        },
    ),
    "brain-mri": DatasetEntry(
        load=data.brain_mri,
        about="skull-stripped T1 brains, 160 x 192 x 224, 24 classes, subject to atlas",
        ndim=3,
        intensities=(0.0, 1.5),  # the authors' for NMI: intensities are x / 128, and few go beyond
        options={"label_map": _LABEL_MAP},
        presets={
            "cpu": Preset(p.CPU_BRAIN, {"epochs": 10}, {"epochs": 10}),
            "gpu": Preset(p.GPU_3D, **p.GPU_EPOCHS),
            "paper": Preset(
                {**p.PAPER_3D, "batch_size": 1, "accumulation": 4},
                {"steps_per_epoch": 4000, "epochs": 100},  # 100 k updates
                {"steps_per_epoch": None, "epochs": 30},
            ),
        },
    ),
    "hippocampus": DatasetEntry(
        load=data.hippocampus,
        about="T1 crops around the hippocampus, 64^3, 3 classes (MSD Task04)",
        ndim=3,
        presets={
            "cpu": Preset(p.CPU_SMALL, {"epochs": 8}, {"epochs": 12}),
            "gpu": Preset({**p.GPU_3D, "batch_size": 4}, **p.GPU_EPOCHS),
            "paper": Preset(
                {**p.PAPER_3D, "batch_size": 4, "batch_norm": False, "dropout": False},
                {"features": (128, 128, 128), "steps_per_epoch": 1000, "epochs": 150},  # 150 k updates
                {"steps_per_epoch": 6045, "epochs": 165},  # 156 x 155 pairs an epoch, 1 M updates
                {"features": (64, 128, 256), "steps_per_epoch": 1000, "epochs": 150},
            ),
        },
    ),
    "csv": DatasetEntry(
        load=data.from_csv,
        about="your own images, listed in a CSV file",
        place="CSV file",
        options={
            "intensity": Option(str, "minmax, quantile, fixed:LOW:HIGH or none"),
            "shape": Option(list[int], "size of the images, with --fit"),
            "fit": Option(Literal["pad", "resample"], "pad or resample images of another size"),
            "classes": Option(int, "number of classes with background, where it is not as many as the labels show"),
            "label_map": _LABEL_MAP,
            "slices": Option(bool, "a stack is a series of 2-D images"),
            "channels": Option(int, "channels of each file; npy and npz need it, other formats say it themselves"),
        },
        like="platelet-em",
        weights={"deepsim-ae": 0.5, "deepsim": 0.5, "deepsim-vgg": 0.5},
        presets={
            "cpu": Preset(p.CPU_OWN, {"epochs": 10}, {"epochs": 20}),
            "gpu": Preset(p.GPU_3D, **p.GPU_EPOCHS),
            "paper": Preset(
                {**p.PAPER_3D, "features": None, "batch_size": 1, "accumulation": 4, "patience": 200},
                {"steps_per_epoch": 400, "epochs": 500},
                {"steps_per_epoch": 400, "epochs": 300},
            ),
        },
    ),
    "synthetic-platelet": DatasetEntry(
        load=_synthetic("platelet", (96, 96)),
        about="made, not read: noisy slices, 96 x 96, 3 classes",
        place=None,
        ndim=2,
        unit="voxels",
        like="platelet-em",
        # The best on the validation pairs of two weights (MSE) or three (DeepSim; benchmarks/README.md).
        weights={"mse": 0.1, "deepsim": 0.1},
        presets={"cpu": Preset(p.CPU_SYNTHETIC, {"epochs": 12}, {"epochs": 22})},
    ),
    "synthetic-cells": DatasetEntry(
        load=_synthetic("cells", (96, 96)),
        about="made, not read: cells, 96 x 96, 2 classes",
        place=None,
        ndim=2,
        unit="voxels",
        like="phc-u373",
        presets={"cpu": Preset(p.CPU_SYNTHETIC, {"epochs": 12}, {"epochs": 20})},
    ),
    "synthetic-brain": DatasetEntry(
        load=_synthetic("brain", (48, 56, 48)),
        about="made, not read: brains, 48 x 56 x 48, 6 classes",
        place=None,
        ndim=3,
        unit="voxels",
        like="brain-mri",
        presets={"cpu": Preset(p.CPU_SYNTHETIC_3D)},
    ),
}
