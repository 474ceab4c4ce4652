"""The tables of recipes: settings of each dataset, and the weight of the regulariser with each loss.

`paper` holds the published settings (Czolbe et al. 2023, and the authors' repository); `cpu` is sized for two cores;
`gpu` works at full resolution with VoxelMorph's U-Net, for some hours of one GPU (not measured).
"""

# lambda of the published table (authors' repository). Synthetic platelets: the best on the validation pairs of two
# weights (MSE, NCC) or three (DeepSim; benchmarks/README.md); synthetic cells and brain, and own data: as the real data
# that they resemble.
_LOSSES = ("mse", "ncc", "ncc-sup", "nmi", "mind", "deepsim-ae", "deepsim", "deepsim-vgg")
_WEIGHTS = {  # deepsim-vgg on 3-D data: None, as VGG16 is 2-D
    "phc-u373": (0.005, 0.25, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125),
    "platelet-em": (0.02, 0.5, 0.5, 1.0, 0.125, 1.0, 1.0, 1.0),
    "brain-mri": (0.08, 1.0, 2.0, 2.0, 0.25, 1.0, 2.0, None),
    "hippocampus": (0.08, 1.0, 1.0, 1.0, 0.25, 0.25, 0.5, None),
    "synthetic-platelet": (0.1, 0.5, 0.5, 1.0, 0.125, 1.0, 0.1, 1.0),
    "synthetic-cells": (0.005, 0.25, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125),
    "synthetic-brain": (0.08, 1.0, 2.0, 2.0, 0.25, 1.0, 2.0, None),
    "csv": (0.02, 0.5, 0.5, 1.0, 0.125, 0.5, 0.5, 0.5),
}
WEIGHTS = {dataset: dict(zip(_LOSSES, weights, strict=True)) for dataset, weights in _WEIGHTS.items()}
INTENSITIES = {"brain-mri": (0.0, 2.0)}  # range of the intensities, for NMI; elsewhere (0, 1)

# The U-Net of the paper, in 2-D and 3-D. A step is a batch; `accumulation` of them are an update.
_PAPER_2D = {"backbone": "paper", "features": (64, 128, 256), "accumulation": 2, "learning_rate": 1e-4, "patience": 200}
_PAPER_3D = {"backbone": "paper", "features": (32, 64, 128), "learning_rate": 1e-4, "patience": 2}
_U373 = {**_PAPER_2D, "batch_size": 5, "steps_per_epoch": 23}  # 115 frames
_PLATELET = {**_PAPER_2D, "batch_size": 3, "steps_per_epoch": 16}  # 50 slices
_BRAIN = {**_PAPER_3D, "batch_size": 1, "accumulation": 4}
_HIPPOCAMPUS = {**_PAPER_3D, "batch_size": 4, "batch_norm": False, "dropout": False}

_CPU_2D = {"downsample": 2, "features": (8, 16, 32, 32), "batch_size": 3, "learning_rate": 1e-3, "steps_per_epoch": 60}
_CPU_BRAIN = {
    "downsample": 2,
    "features": (8, 16, 32, 32),
    "batch_size": 1,
    "learning_rate": 1e-3,
    "steps_per_epoch": 40,
}
_CPU_HIPPOCAMPUS = {"features": (8, 16, 32, 32), "batch_size": 2, "learning_rate": 1e-3, "steps_per_epoch": 60}
_CPU_SYNTHETIC = {"batch_size": 4, "learning_rate": 1e-3, "steps_per_epoch": 32}
_CPU_SYNTHETIC_3D = {**_CPU_SYNTHETIC, "batch_size": 1, "features": (8, 16, 16, 16), "epochs": 10}
_CPU_CSV = {"features": (16, 32, 32, 32), "batch_size": 1, "learning_rate": 1e-3, "steps_per_epoch": 100}

_GPU_2D = {"features": (32, 64, 64, 64), "batch_size": 4, "learning_rate": 3e-4, "steps_per_epoch": 100}
_GPU_3D = {"features": (16, 32, 32, 32), "batch_size": 1, "learning_rate": 3e-4, "steps_per_epoch": 200}
_GPU = {
    "phc-u373": _GPU_2D,
    "platelet-em": _GPU_2D,
    "brain-mri": _GPU_3D,
    "hippocampus": {**_GPU_3D, "batch_size": 4},
    "csv": _GPU_3D,
}

SEGMENTATION = {
    **{(dataset, "gpu"): {**settings, "epochs": 100} for dataset, settings in _GPU.items()},
    ("phc-u373", "paper"): {**_U373, "epochs": 4348},  # 50 k updates
    ("phc-u373", "cpu"): {**_CPU_2D, "epochs": 15},
    ("platelet-em", "paper"): {**_PLATELET, "epochs": 6250},  # 50 k updates
    ("platelet-em", "cpu"): {**_CPU_2D, "epochs": 10},
    ("brain-mri", "paper"): {**_BRAIN, "steps_per_epoch": 4000, "epochs": 100},  # 100 k updates
    ("brain-mri", "cpu"): {**_CPU_BRAIN, "epochs": 10},
    ("hippocampus", "paper"): {
        **_HIPPOCAMPUS,
        "features": (128, 128, 128),
        "steps_per_epoch": 1000,
        "epochs": 150,
    },  # 150 k
    ("hippocampus", "cpu"): {**_CPU_HIPPOCAMPUS, "epochs": 8},
    ("synthetic-platelet", "cpu"): {**_CPU_SYNTHETIC, "epochs": 12},
    ("synthetic-cells", "cpu"): {**_CPU_SYNTHETIC, "epochs": 12},
    ("synthetic-brain", "cpu"): _CPU_SYNTHETIC_3D,
    ("csv", "cpu"): {**_CPU_CSV, "epochs": 10},
    ("csv", "paper"): {
        **_PAPER_3D,
        "features": None,
        "batch_size": 1,
        "accumulation": 4,
        "patience": 200,
        "steps_per_epoch": 400,
        "epochs": 500,
    },
}
# As the segmentation, but for the widths of the published table.
AUTOENCODER = {
    **SEGMENTATION,
    ("hippocampus", "paper"): {**SEGMENTATION["hippocampus", "paper"], "features": (64, 128, 256)},
}
REGISTRATION = {
    **{(dataset, "gpu"): {**settings, "epochs": 150} for dataset, settings in _GPU.items()},
    ("phc-u373", "paper"): {**_U373, "epochs": 3000},  # the published 33 k updates, about
    ("phc-u373", "cpu"): {**_CPU_2D, "epochs": 40},
    ("platelet-em", "paper"): {**_PLATELET, "epochs": 3000},  # 24 k updates
    ("platelet-em", "cpu"): {**_CPU_2D, "batch_size": 2, "steps_per_epoch": 40, "epochs": 15},
    ("brain-mri", "paper"): {**_BRAIN, "steps_per_epoch": None, "epochs": 30},
    ("brain-mri", "cpu"): {**_CPU_BRAIN, "epochs": 10},
    ("hippocampus", "paper"): {
        **_HIPPOCAMPUS,
        "steps_per_epoch": 6045,
        "epochs": 165,
    },  # 156 x 155 pairs an epoch, 1 M steps
    ("hippocampus", "cpu"): {**_CPU_HIPPOCAMPUS, "epochs": 12},
    ("synthetic-platelet", "cpu"): {**_CPU_SYNTHETIC, "epochs": 22},
    ("synthetic-cells", "cpu"): {**_CPU_SYNTHETIC, "epochs": 20},
    ("synthetic-brain", "cpu"): _CPU_SYNTHETIC_3D,
    ("csv", "cpu"): {**_CPU_CSV, "epochs": 20},
    ("csv", "paper"): {
        **_PAPER_3D,
        "features": None,
        "batch_size": 1,
        "accumulation": 4,
        "patience": 200,
        "steps_per_epoch": 400,
        "epochs": 300,
    },
}
