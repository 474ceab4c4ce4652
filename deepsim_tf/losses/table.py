"""The table of losses: one entry each, which recipes, the command, its help, tables of results and docs read.

To add a loss:
1. its module in `losses/`, with the function beside its formula and a registered `keras.losses.Loss` on (fixed,
   warped), and
2. an entry in `LOSSES`: the key is the name on the command line. `options` names those arguments of the class that a
   recipe may change (their defaults stay in the class); `extractor` is a task of `recipes.EXTRACTORS` where the class
   takes a FeatureExtractor first; `weights` holds lambda for the data sets where it is known (elsewhere --weight is
   asked for).
A loss that an entry names without an extractor can be given to `compile(similarity=...)` by that name.

To add a regulariser: a registered `keras.losses.Loss` on (ignored, field) and an entry in `REGULARIZERS`.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Literal

import keras

from deepsim_tf import checks, losses
from deepsim_tf.checks import Option


@dataclasses.dataclass(frozen=True)
class LossEntry:
    """A loss that a registration can be trained with.

    Args:
        title: in tables and figures.
        about: one line, for help and docs.
        make: the Keras loss on (fixed, warped), called with the options, and with the FeatureExtractor first where
            `extractor` is not None.
        options: the arguments of `make` that a recipe may set, by name.
        intensities: two of the options, which are by default the ends of the data set's range of intensities.
        extractor: what the FeatureExtractor is cut from, a name of `recipes.EXTRACTORS`; None for none.
        supervised: whether the labels of the training pairs are compared too, by the mean squared error of their
            one-hot maps.
        weights: lambda of the diffusion regulariser for each data set, in the published table (authors' repository).
        published: the published mean Dice of the test pairs (Czolbe et al. 2023; the hippocampus' are read off a
            figure).
    """

    title: str
    about: str
    make: Callable[..., keras.losses.Loss]
    options: dict[str, Option] = dataclasses.field(default_factory=dict)
    intensities: tuple[str, ...] = ()
    extractor: str | None = None
    supervised: bool = False
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    published: dict[str, float] = dataclasses.field(default_factory=dict)

    def defaults(self, intensities=(0.0, 1.0)):
        """The options where nothing is said: those of `make`, and of images in a range of intensities."""
        found = {name: inspect.signature(self.make).parameters[name].default for name in self.options}
        return found | dict(zip(self.intensities, intensities))

    def loss(self, extractor, options):
        """The Keras loss; `extractor` is a FeatureExtractor, or None where the entry needs none."""
        return self.make(*([extractor] if self.extractor else []), **options)


@dataclasses.dataclass(frozen=True)
class RegularizerEntry:
    """A regulariser of the field: the Keras loss on (ignored, field), its title, and what it is in one line."""

    title: str
    about: str
    make: Callable[[], keras.losses.Loss]


_WINDOW = {"window": Option(int, "side of the window in voxels, odd")}
_DEEPSIM = {
    "levels": Option(Literal["all"] | list[str], "the levels to compare, as in level_1,level_2"),
    "zero_mean": Option(bool, "compare features minus their channel mean"),
    "foreground": Option(float | None, "count only voxels where the fixed image is above this value"),
    "warp": Option(Literal["image", "features"], "what is warped: the image before, or its features after extraction"),
}

LOSSES = {
    "mse": LossEntry(
        "MSE",
        "mean squared difference of the intensities",
        keras.losses.MeanSquaredError,
        weights={"brain-mri": 0.08, "hippocampus": 0.08, "platelet-em": 0.02, "phc-u373": 0.005},
        published={"brain-mri": 0.6662, "hippocampus": 0.8013, "platelet-em": 0.8935, "phc-u373": 0.9653},
    ),
    "ncc": LossEntry(
        "NCC",
        "local normalised cross-correlation, squared",
        losses.LocalNCC,
        options=_WINDOW,
        weights={"brain-mri": 1.0, "hippocampus": 1.0, "platelet-em": 0.5, "phc-u373": 0.25},
        published={"brain-mri": 0.6574, "hippocampus": 0.8221, "platelet-em": 0.8754, "phc-u373": 0.9650},
    ),
    "ncc-sup": LossEntry(
        "NCC_sup",
        "ncc, and the labels of the training pairs",
        losses.LocalNCC,
        options=_WINDOW,
        supervised=True,
        weights={"brain-mri": 2.0, "hippocampus": 1.0, "platelet-em": 0.5, "phc-u373": 0.25},
        published={"brain-mri": 0.6678, "hippocampus": 0.8299, "platelet-em": 0.8879, "phc-u373": 0.9686},
    ),
    "nmi": LossEntry(
        "NMI",
        "normalised mutual information",
        losses.NMI,
        options={
            "bins": Option(int, "number of bins of each image"),
            "vmin": Option(float | None, "lowest intensity of the bins; none: of each image"),
            "vmax": Option(float | None, "highest intensity of the bins; none: of each image"),
            "fraction": Option(float, "part of the voxels that is drawn at random, at most 1"),
        },
        intensities=("vmin", "vmax"),
        weights={"brain-mri": 2.0, "hippocampus": 1.0, "platelet-em": 1.0, "phc-u373": 0.25},
        published={"brain-mri": 0.6649, "hippocampus": 0.8182, "platelet-em": 0.8892, "phc-u373": 0.9655},
    ),
    "mind": LossEntry(
        "MIND",
        "self-similarity context",
        losses.MIND,
        options={
            "radius": Option(int, "of the patches, in voxels"),
            "dilation": Option(int, "distance of the neighbours, in voxels"),
        },
        weights={"brain-mri": 0.25, "hippocampus": 0.25, "platelet-em": 0.125, "phc-u373": 0.125},
        published={"brain-mri": 0.6566, "hippocampus": 0.8225, "platelet-em": 0.8796, "phc-u373": 0.9652},
    ),
    "deepsim-ae": LossEntry(
        "DeepSim_ae",
        "features of an autoencoder",
        losses.DeepSim,
        options=_DEEPSIM,
        extractor="autoencoder",
        weights={"brain-mri": 1.0, "hippocampus": 0.25, "platelet-em": 1.0, "phc-u373": 0.125},
        published={"brain-mri": 0.6708, "hippocampus": 0.8117, "platelet-em": 0.8950, "phc-u373": 0.9674},
    ),
    "deepsim": LossEntry(
        "DeepSim",
        "features of a segmentation network",
        losses.DeepSim,
        options=_DEEPSIM,
        extractor="segmentation",
        weights={"brain-mri": 2.0, "hippocampus": 0.5, "platelet-em": 1.0, "phc-u373": 0.125},
        published={"brain-mri": 0.6754, "hippocampus": 0.8174, "platelet-em": 0.8947, "phc-u373": 0.9679},
    ),
    "deepsim-vgg": LossEntry(
        "DeepSim_VGG",
        "features of VGG16, 2-D",
        losses.DeepSim,
        options=_DEEPSIM,
        extractor="vgg16",
        weights={"platelet-em": 1.0, "phc-u373": 0.125},
    ),
    "mae": LossEntry("MAE", "mean absolute difference of the intensities", keras.losses.MeanAbsoluteError),
}
REGULARIZERS = {
    "diffusion": RegularizerEntry("Diffusion", "mean squared difference of neighbours (the paper's)", losses.Diffusion),
    "bending": RegularizerEntry(
        "Bending energy", "mean squared second derivative, which leaves affine maps free", losses.BendingEnergy
    ),
}


def named(argument, value):
    """The Keras loss that an argument of `compile` gives: itself, None, or the one of a table's name.

    Args:
        argument: "regularizer" looks in `REGULARIZERS`; any other, such as "similarity", in `LOSSES`.
        value: a keras.losses.Loss, None, or a name; of `LOSSES`, one that needs neither extractor nor labels.

    Raises:
        ValueError: an unknown name, or what is neither a loss nor a name.
    """
    if value is None or isinstance(value, keras.losses.Loss):
        return value
    table = REGULARIZERS if argument == "regularizer" else LOSSES
    names = [
        n for n, entry in table.items() if not getattr(entry, "extractor", None) and not getattr(entry, "supervised", 0)
    ]
    if not isinstance(value, str):
        raise ValueError(
            f"{argument} must be a keras.losses.Loss, as in ds.losses, or one of {', '.join(names)}. Received:"
            f" {value!r}."
        )
    if value in table and value not in names:
        raise ValueError(
            f"{argument} {value!r} needs more than a name: pass the loss itself, as in ds.losses.DeepSim(extractor)."
        )
    checks.known(argument, value, names)
    return table[value].make()
