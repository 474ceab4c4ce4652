"""The settings that the presets of several data sets share; `datasets.py` holds each data set's own.

`paper` holds the published settings (Czolbe et al. 2023, and the authors' repository); `cpu` is sized for two cores;
`gpu` works at full resolution with VoxelMorph's U-Net, for some hours of one GPU (not measured).
"""

import dataclasses

PRESETS = {
    "cpu": "two cores, at most 30 minutes",
    "gpu": "full resolution, some hours",
    "paper": "the published settings",
}


@dataclasses.dataclass(frozen=True)
class Preset:
    """Fields of the recipes of a data set, see `Recipe`.

    Args:
        shared: those of all tasks.
        segmentation, registration: those of these tasks, which go before the shared ones.
        autoencoder: those of this task; None: as the segmentation.
    """

    shared: dict
    segmentation: dict = dataclasses.field(default_factory=dict)
    registration: dict = dataclasses.field(default_factory=dict)
    autoencoder: dict | None = None

    def of(self, task):
        """The fields of a task's recipe."""
        own = self.segmentation if task == "autoencoder" and self.autoencoder is None else getattr(self, task)
        return {**self.shared, **own}


# The U-Net of the paper, in 2-D and 3-D. A step is a batch; `accumulation` of them are an update.
PAPER = {"backbone": "paper", "learning_rate": 1e-4}
PAPER_2D = {**PAPER, "features": (64, 128, 256), "accumulation": 2, "patience": 200}
PAPER_3D = {**PAPER, "features": (32, 64, 128), "patience": 2}

_CPU = {"features": (8, 16, 32, 32), "learning_rate": 1e-3}
CPU_HALF = {**_CPU, "downsample": 2, "batch_size": 3, "steps_per_epoch": 60}
CPU_BRAIN = {**_CPU, "downsample": 2, "batch_size": 1, "steps_per_epoch": 40}
CPU_SMALL = {**_CPU, "batch_size": 2, "steps_per_epoch": 60}
CPU_SYNTHETIC = {"batch_size": 4, "learning_rate": 1e-3, "steps_per_epoch": 32}
CPU_SYNTHETIC_3D = {**CPU_SYNTHETIC, "batch_size": 1, "features": (8, 16, 16, 16), "epochs": 10}
CPU_OWN = {"features": (16, 32, 32, 32), "batch_size": 1, "learning_rate": 1e-3, "steps_per_epoch": 100}

GPU_2D = {"features": (32, 64, 64, 64), "batch_size": 4, "learning_rate": 3e-4, "steps_per_epoch": 100}
GPU_3D = {"features": (16, 32, 32, 32), "batch_size": 1, "learning_rate": 3e-4, "steps_per_epoch": 200}
GPU_EPOCHS = {"segmentation": {"epochs": 100}, "registration": {"epochs": 150}}
