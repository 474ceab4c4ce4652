"""Everything that defines a training, as typed recipes; they resolve what the tables say of a data set and a loss.

The resolved recipe is written beside the weights, as config.json.
"""

import dataclasses

import keras

from deepsim_tf import augmentation
from deepsim_tf.losses.table import LOSSES, REGULARIZERS
from deepsim_tf.recipes.datasets import DATASETS
from deepsim_tf.recipes.extractors import EXTRACTORS

AUGMENTATIONS = ("none", "spatial", "spatial+intensity")
PRECISIONS = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}  # and Keras's policy, with float32 weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What all trainings share. An epoch is `steps_per_epoch` batches, followed by a validation."""

    dataset: str  # one of DATASETS
    preset: str
    data: str | None = None  # folder of the dataset, or the CSV file of own data
    cache: str = "auto"  # "auto", "memory", "none", or a folder
    options: dict = dataclasses.field(default_factory=dict)  # further arguments of the dataset's function
    downsample: int = 1  # images are averaged over blocks of this side
    backbone: str = "voxelmorph"
    features: tuple[int, ...] | None = (16, 32, 32, 32)
    batch_norm: bool = True  # this and dropout: of the paper's backbone
    dropout: bool = True
    batch_size: int = 4
    accumulation: int = 1  # batches in one update of the weights
    precision: str = "float32"  # one of PRECISIONS
    learning_rate: float = 1e-3
    epochs: int = 10
    steps_per_epoch: int | None = 50  # None: once through the training images
    patience: int = 200  # epochs without a better val_loss until the learning rate drops to a tenth
    augment: str = "spatial"  # one of AUGMENTATIONS
    seed: int = 0

    def images(self, split):
        """The ImageSet of a split, at the recipe's resolution."""
        images = self.native_images(split)
        return images.downsampled(self.downsample) if self.downsample > 1 else images

    def native_images(self, split):
        """The ImageSet of a split, at the dataset's own resolution."""
        cache = None if self.cache == "none" else self.cache
        return DATASETS[self.dataset].load(self.data, split, cache=cache, **self.options)

    def augmentation(self, ndim):
        """The random maps of a training on images of `ndim` axes, and changes of their intensities; None in "none"."""
        if self.augment == "none":
            return None
        spatial = DATASETS[self.dataset].augmentation(ndim)
        intensity = [augmentation.RandomBiasField(), augmentation.RandomGamma(), augmentation.RandomNoise()]
        return augmentation.Compose([spatial, *intensity]) if self.augment == "spatial+intensity" else spatial

    @property
    def network(self):
        """The arguments that the networks of all tasks share."""
        return {name: getattr(self, name) for name in ("backbone", "features", "batch_norm", "dropout")}

    @property
    def policy(self):
        """The Keras dtype policy of the network's layers."""
        return PRECISIONS[self.precision]

    def optimizer(self):
        """Adam as the authors use it: PyTorch's epsilon."""
        return keras.optimizers.Adam(self.learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationRecipe(Recipe):
    """The supplementary task."""

    task = "segmentation"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe(Recipe):
    """The unsupervised task, for DeepSim_ae."""

    task = "autoencoder"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegistrationRecipe(Recipe):
    """Registration: `similarity + weight * regularizer`."""

    task = "registration"
    loss: str  # one of LOSSES
    loss_options: dict = dataclasses.field(default_factory=dict)  # all that the loss takes
    regularizer: str = "diffusion"  # one of REGULARIZERS
    weight: float  # lambda
    extractor: str | None = None  # run folder or .keras file of the model whose encoder is taken; weights of VGG16
    int_steps: int = 0

    def similarity(self):
        """The Keras loss on (fixed, warped)."""
        entry = LOSSES[self.loss]
        extractor = EXTRACTORS[entry.extractor].load(self.extractor) if entry.extractor else None
        return entry.loss(extractor, self.loss_options)

    def regularization(self):
        """The Keras loss on (ignored, field)."""
        return REGULARIZERS[self.regularizer].make()

    def supervised(self):
        """The Keras loss on one-hot labels (fixed, warped), or None."""
        return keras.losses.MeanSquaredError() if LOSSES[self.loss].supervised else None


TASKS = {recipe.task: recipe for recipe in (SegmentationRecipe, AutoencoderRecipe, RegistrationRecipe)}
