"""Semantic similarity for learned image registration, in Keras.

The pipeline in order: `data` -> `augmentation` -> `models` (segmentation) -> `models.FeatureExtractor` ->
`losses.DeepSim` -> `models` (registration) -> `fit` -> `metrics` and `evaluate` -> `inference` on new files.
"""

from deepsim_tf import _compat  # noqa: F401, I001  (first: it repairs VoxelMorph before anything imports it)
from deepsim_tf import augmentation, data, distribute, inference, layers, losses, metrics, models
from deepsim_tf.evaluation import evaluate
from deepsim_tf.export import export
from deepsim_tf.inference import register, register_series
from deepsim_tf.registration import PairwiseOptimizer

__all__ = [
    "PairwiseOptimizer",
    "augmentation",
    "data",
    "distribute",
    "evaluate",
    "export",
    "inference",
    "layers",
    "losses",
    "metrics",
    "models",
    "register",
    "register_series",
]
__version__ = "0.1.0"
