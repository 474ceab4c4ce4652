"""DeepSim: the mean cosine similarity of deep features (Czolbe et al., Medical Image Analysis 87, 2023, equation 1)."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from deepsim_tf import checks
from deepsim_tf.extractors.feature_extractor import FeatureExtractor
from deepsim_tf.extractors.levels import level_names
from deepsim_tf.layers import resize, warp
from deepsim_tf.losses.inputs import at_least_float32
from deepsim_tf.losses.similarity import Similarity
from deepsim_tf.losses.voxel_weights import weighted_mean, weights_on_grid


def cosine_map(features_fixed, features_warped, *, eps=1e-6, zero_mean=False):
    """Cosine similarity of two feature maps at every voxel: <a, b> / (|a| |b|).

    Args:
        features_fixed, features_warped: tensors (batch, *spatial, channels).
        eps: lower bound of each squared norm; nothing is added to the denominator, so two zero vectors score 0.
        zero_mean: subtract the mean over the channels at each voxel, which makes it Pearson's correlation.

    Returns:
        Tensor (batch, *spatial), in [-1, 1]; float32, or float64 where the features are.
    """
    a, b = at_least_float32(features_fixed), at_least_float32(features_warped)
    checks.equal_shapes("cosine_map", features_fixed=a, features_warped=b)
    if zero_mean:
        a, b = (f - ops.mean(f, axis=-1, keepdims=True) for f in (a, b))
    # (batch, *spatial, channels) -> (batch, *spatial)
    norm_a = ops.sqrt(ops.maximum(ops.sum(a * a, axis=-1), eps))
    norm_b = ops.sqrt(ops.maximum(ops.sum(b * b, axis=-1), eps))
    return ops.sum(a * b, axis=-1) / (norm_a * norm_b)


def deepsim(features_fixed, features_warped, *, eps=1e-6, zero_mean=False, weights=None):
    """1 - DeepSim of two feature pyramids (equation 1): in [0, 2], 0 is best.

        DeepSim(I, J) = 1/L sum_l 1/|Omega_l| sum_p <F_l,p(I), F_l,p(J)> / (|F_l,p(I)| |F_l,p(J)|)

    Every level weighs the same, whatever its size.

    Args:
        features_fixed, features_warped: dicts of levels, each a tensor (batch, *spatial_l, channels_l).
        eps, zero_mean: see `cosine_map`.
        weights: voxel weights at image resolution, (batch, *spatial), for example a foreground mask; averaged onto
            the grid of each level, where they replace the plain mean over Omega_l by a weighted one. A level without
            any weight scores 0.

    Returns:
        Tensor (batch,).

    Example:
        >>> pyramid = {"level_1": np.array([[[3.0, 4.0], [1.0, 0.0]]])}  # one image of two voxels with two channels
        >>> float(deepsim(pyramid, {"level_1": np.array([[[4.0, 3.0], [0.0, 2.0]]])})[0])  # 1 - (24/25 + 0) / 2
        0.52
    """
    levels = deepsim_levels(features_fixed, features_warped, eps=eps, zero_mean=zero_mean, weights=weights)
    return sum(levels.values()) / len(levels)


def deepsim_levels(features_fixed, features_warped, *, eps=1e-6, zero_mean=False, weights=None):
    """The terms whose mean over the levels is `deepsim`: {level: tensor (batch,)}, with the same arguments."""
    if set(features_fixed) != set(features_warped):
        raise ValueError(
            f"deepsim compares the same levels. Received: {list(features_fixed)} and {list(features_warped)}."
        )
    levels = {}
    for level, fixed in features_fixed.items():
        cosine = cosine_map(fixed, features_warped[level], eps=eps, zero_mean=zero_mean)
        here = None if weights is None else weights_on_grid(weights, cosine.shape)
        levels[level] = weighted_mean(1 - cosine, here)
    return levels


@keras.saving.register_keras_serializable("deepsim_tf")
class DeepSim(Similarity):
    """The semantic similarity as a Keras loss, `1 - DeepSim(fixed, warped)`; see `deepsim` for the formula.

    Called as every Keras loss on (y_true, y_pred) = (fixed, warped), images (batch, *spatial, channels), with weights
    of images or voxels as every `Similarity`. The gradient goes to the warped image only. Saved inside a model, the
    extractor comes back with its weights.

    Args:
        extractor: a `FeatureExtractor`.
        levels: `"all"`, or the names of the levels to compare.
        zero_mean: compare features minus their channel mean (Pearson's correlation).
        eps: lower bound of each squared norm.
        fixed: an atlas, (*spatial, channels) or (1, *spatial, channels), whose features are computed once, here; every
            `y_true` is then taken to be it.
        foreground: count only voxels where the fixed image is above this value. In a skull-stripped brain most
            voxels are empty, and their perfect agreement dilutes the mean; `foreground=0` leaves them out. A fixed
            image without foreground is similar to none: it scores 1.
        warp: `"image"` extracts the features of the warped image. `"features"` extracts those of the moving image and
            warps them, by the flow on each level's grid, which costs no gradient through the extractor; it needs the
            flow (`of_flow`), which `ds.models.registration_model` gives it.
        name, reduction, dtype: see keras.losses.Loss.
    """

    def __init__(
        self,
        extractor,
        *,
        levels="all",
        zero_mean=False,
        eps=1e-6,
        fixed=None,
        foreground=None,
        warp="image",
        name="deepsim",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        if not isinstance(extractor, FeatureExtractor):
            received = type(extractor).__name__
            raise ValueError(
                "extractor must be a FeatureExtractor; make one with FeatureExtractor.from_model. Received:"
                f" {received}."
            )
        self.extractor, self.levels = extractor.select(levels), level_names(levels, extractor.levels)
        checks.known("warp", warp, ("image", "features"))
        self.zero_mean, self.eps, self.foreground, self.warp = zero_mean, eps, foreground, warp
        self.fixed = None if fixed is None else self._atlas(fixed)
        self._fixed_features = (
            None  # of the atlas, computed at the first call: when a model is loaded, the extractor's weights come last
        )

    @property
    def needs_flow(self):
        """Whether features are warped, instead of the image."""
        return self.warp == "features"

    def values(self, fixed, warped, weights=None):
        """1 - DeepSim of each pair; see `deepsim`."""
        return self._mean(fixed, *self._both(fixed, warped), weights)

    def values_of_flow(self, fixed, moving, flow, weights=None):
        """1 - DeepSim of each pair; see `deepsim`."""
        if not self.needs_flow:
            return super().values_of_flow(fixed, moving, flow, weights)
        features_fixed, features_moving = self._both(fixed, moving)
        features_warped = {level: _warped(ops.stop_gradient(f), flow) for level, f in features_moving.items()}
        return self._mean(fixed, features_fixed, features_warped, weights)

    def by_level(self, fixed, warped):
        """1 - the mean cosine of each level, whose mean is the loss: what `values` averages.

        Args:
            fixed, warped: images (batch, *spatial, channels); the fixed one counts also where there is an atlas.

        Returns:
            {level: tensor (batch,)}.
        """
        return self._levels(fixed, self.extractor(fixed), self.extractor(warped), None)

    def _mean(self, fixed, features_fixed, features_warped, weights):
        if self.fixed is not None:
            fixed = ops.broadcast_to(self.fixed, ops.shape(fixed))
        levels = self._levels(fixed, features_fixed, features_warped, weights)
        return sum(levels.values()) / len(levels)

    def _levels(self, fixed, features_fixed, features_warped, weights):
        if self.foreground is not None:
            inside = ops.any(fixed > self.foreground, axis=-1)
            some = ops.any(inside, axis=tuple(range(1, len(inside.shape))))
            inside = ops.cast(inside, fixed.dtype)
            weights = inside if weights is None else inside * weights
        levels = deepsim_levels(
            features_fixed, features_warped, eps=self.eps, zero_mean=self.zero_mean, weights=weights
        )
        if self.foreground is not None:
            levels = {level: ops.where(some, value, ops.ones_like(value)) for level, value in levels.items()}
        return levels

    def similarity_map(self, fixed, warped):
        """DeepSim at every voxel, before the mean: cosine maps of all levels, brought to image size and averaged.

        Args:
            fixed, warped: images (batch, *spatial, channels).

        Returns:
            Tensor (batch, *spatial) in [-1, 1]; 1 is best.
        """
        fixed, warped = (ops.cast(image, "float32") for image in self.checked(fixed=fixed, warped=warped))
        shape = fixed.shape[1:-1]
        maps = 0.0
        for a, b in zip(*(pyramid.values() for pyramid in self._both(fixed, warped)), strict=True):
            cosine = cosine_map(a, b, eps=self.eps, zero_mean=self.zero_mean)
            maps += resize(cosine[..., None], shape)[..., 0]
        return maps / len(self.levels)

    def checked(self, **images):
        """The two images as tensors, where they can be compared, with this extractor and atlas."""
        fixed, image = super().checked(**images)
        name = list(images)[-1]
        checks.image_rank("DeepSim's extractor", name, image, self.extractor.ndim)
        if self.fixed is not None and tuple(self.fixed.shape[1:]) != tuple(image.shape[1:]):
            raise ValueError(
                f"DeepSim's atlas has shape {tuple(self.fixed.shape[1:])}, without batch. Received:"
                f" {name}.shape={tuple(image.shape)}."
            )
        return fixed, image

    def _both(self, fixed, warped):
        """The two pyramids; the fixed one without gradient, and from memory where it is the atlas."""
        if self.fixed is None:
            reference = {level: ops.stop_gradient(f) for level, f in self.extractor(fixed).items()}
        else:
            if self._fixed_features is None:
                with (
                    tf.init_scope()
                ):  # outside the graph that is being traced, so that they are numbers, not operations
                    self._fixed_features = self.extractor(self.fixed)
            size = ops.shape(warped)[0]
            reference = {k: ops.broadcast_to(f, (size, *f.shape[1:])) for k, f in self._fixed_features.items()}
        return reference, self.extractor(warped)

    def _atlas(self, fixed):
        atlas = np.asarray(fixed, "float32")
        atlas = atlas[None] if atlas.ndim == self.extractor.ndim + 1 else atlas
        if atlas.ndim != self.extractor.ndim + 2 or atlas.shape[0] != 1:
            raise ValueError(f"fixed must be one image, (*spatial, channels). Received: fixed.shape={np.shape(fixed)}.")
        checks.finite_array("DeepSim", fixed=atlas)
        return atlas

    def get_config(self):
        """The arguments of the constructor; the weights of the extractor and the atlas are saved beside it."""
        return {
            **super().get_config(),
            "extractor": keras.saving.serialize_keras_object(self.extractor),
            "levels": self.levels,
            "zero_mean": self.zero_mean,
            "eps": self.eps,
            "foreground": self.foreground,
            "warp": self.warp,
            "fixed": None if self.fixed is None else {"shape": list(self.fixed.shape)},
        }

    @classmethod
    def from_config(cls, config):
        """Rebuild from `get_config`; an atlas is zero until the weights are loaded."""
        config = {**config, "extractor": keras.saving.deserialize_keras_object(config["extractor"])}
        if config["fixed"] is not None:
            config["fixed"] = np.zeros(config["fixed"]["shape"], "float32")
        return cls(**config)

    def save_own_variables(self, store):
        """Keras's hook when a model is saved: keeps the atlas."""
        if self.fixed is not None:
            store["fixed"] = self.fixed

    def load_own_variables(self, store):
        """Keras's hook when a model is loaded: restores the atlas."""
        if self.fixed is not None:
            self.fixed = np.asarray(store["fixed"], "float32")
            self._fixed_features = None


def _warped(features, flow):
    """Features (batch, *spatial_l, channels), warped by a flow (batch, *spatial, ndim) on their own grid."""
    shape = features.shape[1:-1]
    # A displacement in voxels of the image is, in voxels of a level, shorter by the ratio of the sizes.
    ratio = [small / large for small, large in zip(shape, flow.shape[1:-1], strict=True)]
    return warp(features, resize(flow, shape) * ops.cast(ratio, flow.dtype))
