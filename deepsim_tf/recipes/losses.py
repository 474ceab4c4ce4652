"""The losses of the paper's comparison by name, for recipes, the command and tables."""

import dataclasses
from collections.abc import Callable

import keras

from deepsim_tf import losses
from deepsim_tf.extractors import FeatureExtractor


@dataclasses.dataclass(frozen=True)
class LossChoice:
    """A loss that a registration can be trained with.

    Args:
        title: in tables and figures.
        make: function of an extractor (None where `extractor` is None) and the range of intensities, to the Keras loss.
        extractor: the task whose run the extractor is cut from: "segmentation", "autoencoder", or "vgg16"; None for no
            extractor.
        supervised: whether the labels of the training pairs are compared too, by the mean squared error of their
            one-hot maps.
    """

    title: str
    make: Callable
    extractor: str | None = None
    supervised: bool = False


def _deepsim(extractor, _):
    return losses.DeepSim(extractor)


LOSSES = {
    "mse": LossChoice("MSE", lambda *_: keras.losses.MeanSquaredError()),
    "ncc": LossChoice("NCC", lambda *_: losses.LocalNCC()),
    "ncc-sup": LossChoice("NCC_sup", lambda *_: losses.LocalNCC(), supervised=True),
    "nmi": LossChoice("NMI", lambda _, intensities: losses.NMI(vmin=intensities[0], vmax=intensities[1])),
    "mind": LossChoice("MIND", lambda *_: losses.MIND()),
    "deepsim-ae": LossChoice("DeepSim_ae", _deepsim, extractor="autoencoder"),
    "deepsim": LossChoice("DeepSim", _deepsim, extractor="segmentation"),
    "deepsim-vgg": LossChoice("DeepSim_VGG", _deepsim, extractor="vgg16"),
}


def load_extractor(task, path):
    """The FeatureExtractor of a run folder or .keras file, or VGG16 with weights from a file (None: downloaded)."""
    if task == "vgg16":
        return FeatureExtractor.vgg16("imagenet" if path is None else path)
    return FeatureExtractor.from_model(path)
