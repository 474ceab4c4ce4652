"""Registration without training: the objective is minimised on the pair itself."""

import numpy as np

from deepsim_tf import checks
from deepsim_tf.grids.affine import joined, mapped
from deepsim_tf.grids.sampling import onto_grid, sample_at
from deepsim_tf.layers import voxel_grid
from deepsim_tf.losses import DeepSim, Diffusion, LocalNCC
from deepsim_tf.registration.objective import objective
from deepsim_tf.registration.pairwise.affine import AffineStage, Frame
from deepsim_tf.registration.pairwise.deformable import DeformableStage
from deepsim_tf.registration.prediction import Prediction
from deepsim_tf.registration.solver import Solver

TRANSFORMS = ("translation", "rigid", "affine", "deformable", "affine+deformable")
WEIGHT = 1.0  # of the regulariser
STEPS = (60, 40, 20)  # on the last grids, coarse to fine; coarser ones have as many as the first


class PairwiseOptimizer(Solver):
    """A Solver that needs no training: it minimises an objective on each pair, an affine map first, then a flow.

    The affine map is searched for on coarse grids, over shifts of half the field of view and rotations of 30 degrees
    (20 in 3-D), and refined on finer ones. The flow is the integral of a stationary velocity, found from coarse grids
    to fine ones; with p as a voxel of the fixed image, u the integral and B the affine map, warped(p) = moving(B (p +
    u(p))). The two images may have different grids. The same pair gives the same result.

    Args:
        similarity: a Keras loss, the name of one, or a list of (loss, factor). Default: `LocalNCC()`. The affine map
            is found with those that work on images of any scale, which features of a network do not; where there is
            no other, with `LocalNCC()`.
        regularizer: a Keras loss on (ignored, velocity), a name, or a list. Default: `Diffusion()`.
        weight: of the regulariser. Default: 1.
        transform: "translation", "rigid", "affine", "deformable" or "affine+deformable".
        int_steps: number of squarings of the integration; 0 takes the velocity for the displacement, which may fold
            and has no inverse.
        levels: number of grids of the deformable part, each twice as fine as the one before; the last is the image's.
        steps: of Adam at most on each grid of the deformable part, one number or a list, coarse to fine. Default: 60,
            40 and 20 on the last three.
        resolution: length of the voxels of the last grid, in the unit of the fixed image's (mm, or pixels). Default:
            those of the fixed image.
        learning_rate: of Adam in the deformable part, in voxels of the velocity's grid.

    Example:
        >>> y, x = np.indices((64, 64))
        >>> fixed = np.exp(-((y - 30) ** 2 + (x - 32) ** 2) / 50).astype("float32")
        >>> moving = np.exp(-((y - 34) ** 2 + (x - 27) ** 2) / 50).astype("float32")
        >>> result = ds.register(ds.PairwiseOptimizer(transform="translation"), moving, fixed)
        >>> result["affine"][:2, 2].round(1)
        array([ 4., -5.])
    """

    own_grids = True
    intensity = "quantile"

    def __init__(
        self,
        similarity=None,
        regularizer=None,
        weight=None,
        *,
        transform="affine+deformable",
        int_steps=7,
        levels=3,
        steps=None,
        resolution=None,
        learning_rate=0.1,
    ):
        checks.known("transform", transform, TRANSFORMS)
        _whole("int_steps", int_steps, 0)
        _whole("levels", levels, 1)
        for name, value in (("resolution", resolution), ("learning_rate", learning_rate)):
            if value is not None and not (isinstance(value, (int, float)) and 0 < value < np.inf):
                raise ValueError(f"{name} must be a finite number above 0. Received: {name}={value!r}.")
        self._objective = objective(
            LocalNCC() if similarity is None else similarity,
            Diffusion() if regularizer is None else regularizer,
            WEIGHT if weight is None else weight,
        )
        self.transform, self.int_steps, self.resolution = transform, int_steps, resolution
        self.steps = _steps(steps, levels)
        of_any_scale = [term for term in self._objective.similarity if not isinstance(term[0], DeepSim)]
        self.affine_stage = AffineStage(of_any_scale or ((LocalNCC(), 1.0),))
        self.deformable_stage = DeformableStage(self._objective, int_steps, learning_rate)

    def objective(self):
        """See `Solver.objective`."""
        return self._objective

    @property
    def settings(self):
        """See `Solver`."""
        terms = {
            name: [[loss.name, factor] for loss, factor in getattr(self._objective, name)]
            for name in ("similarity", "regularizer")
        }
        numbers = {name: getattr(self, name) for name in ("transform", "int_steps", "steps", "resolution")}
        rate = self.deformable_stage.learning_rate
        return {**terms, "weight": self._objective.weight, **numbers, "learning_rate": rate}

    def solve(self, pair):
        """See `Solver.solve`.

        The Prediction has the affine map, and in `extra`, a list each with an entry a pair: "optimization", what each
        part tells of itself; and "inverse", the displacement (*spatial of moving, ndim) from the moving into the fixed
        image, or None where `int_steps` is 0.

        Raises:
            ValueError: images of unequal dimension or channels, integers, NaN or infinity.
        """
        checks.float_images("PairwiseOptimizer", moving=pair.moving, fixed=pair.fixed)
        moving, fixed = (np.asarray(image, np.float32) for image in (pair.moving, pair.fixed))
        checks.finite_array("PairwiseOptimizer", moving=moving, fixed=fixed)
        if (moving.ndim, moving.shape[0], moving.shape[-1]) != (fixed.ndim, fixed.shape[0], fixed.shape[-1]):
            raise ValueError(
                "PairwiseOptimizer expects images of one dimension and number of channels. Received: moving.shape="
                f"{moving.shape}, fixed.shape={fixed.shape}."
            )
        masks = [
            [None] * len(fixed) if mask is None else np.asarray(mask, np.float32)
            for mask in (pair.moving_mask, pair.fixed_mask)
        ]
        frame = _frame(pair, moving.shape[1:-1], fixed.shape[1:-1])
        found = [self._solve(frame, *one) for one in zip(moving, fixed, *masks, strict=True)]
        flow, affine, inverse, told = zip(*found, strict=True)
        extra = {"optimization": list(told), "inverse": list(inverse)}
        return Prediction(flow=np.stack(flow), affine=np.stack(affine), extra=extra)

    def _solve(self, frame, moving, fixed, moving_mask, fixed_mask):
        """One pair: its flow, affine map, inverse and what is told."""
        told, affine, shape = {}, frame.placement, frame.fixed_shape
        kinds = self.transform.split("+")
        if kinds[0] != "deformable":
            masks = {"moving_mask": moving_mask, "fixed_mask": fixed_mask}
            affine, told["affine"] = self.affine_stage(moving, fixed, frame, transform=kinds[0], **masks)
        points = voxel_grid(shape).numpy().astype(float)
        u = back = np.zeros_like(points)
        if kinds[-1] == "deformable":
            images = self._on_fixed(frame, affine, moving, fixed, moving_mask, fixed_mask, points)
            u, back, told["deformable"] = self.deformable_stage(
                images, frame.spacing, steps=self.steps, resolution=self.resolution
            )
        flow = (mapped(points + u, affine) - points).astype(np.float32)
        inverse = None
        if kinds[-1] != "deformable" or self.int_steps:
            voxels = voxel_grid(frame.moving_shape).numpy().astype(float)
            start = mapped(voxels, np.linalg.inv(affine))
            inverse = (start + sample_at(np.asarray(back, np.float32), start) - voxels).astype(np.float32)
        return flow, affine, inverse, told

    @staticmethod
    def _on_fixed(frame, affine, moving, fixed, moving_mask, fixed_mask, points):
        """The images of the deformable part: the moving one as the affine map brings it to the fixed grid."""
        ndim, last = frame.ndim, np.array(frame.moving_shape) - 1
        if frame.moving_shape == frame.fixed_shape and (affine == np.eye(ndim + 1)).all():
            moved = lambda array: array  # noqa: E731  (as it is, and not interpolated)
        else:
            moved = lambda array: onto_grid(array, np.linalg.inv(affine), frame.fixed_shape)  # noqa: E731
        images = {"moving": moved(moving), "fixed": fixed}
        sent = mapped(points, affine)
        inside = ((sent >= -0.5) & (sent <= last + 0.5)).all(axis=-1).astype(np.float32)
        weights = inside if fixed_mask is None else inside * fixed_mask
        if not (weights == 1).all():
            images["fixed_mask"] = weights
        if moving_mask is not None:
            images["moving_mask"] = moved(moving_mask)
        return images


def _frame(pair, moving_shape, fixed_shape):
    """The Frame of a Pair: where nothing is said, the centres of both images coincide."""
    ndim = len(fixed_shape)
    placement = pair.placement
    if placement is None:
        placement = joined(np.eye(ndim), (np.array(moving_shape) - np.array(fixed_shape)) / 2)
    spacing = np.ones(ndim) if pair.spacing is None else np.asarray(pair.spacing, float)
    return Frame(tuple(fixed_shape), tuple(moving_shape), spacing, np.asarray(placement, float))


def _steps(steps, levels):
    """The most steps on each grid, coarse to fine."""
    if steps is None:
        return [STEPS[max(k, 0)] for k in range(len(STEPS) - levels, len(STEPS))]
    listed = list(steps) if isinstance(steps, (list, tuple)) else [steps] * levels
    if len(listed) != levels:
        raise ValueError(f"steps must be one number, or one for each of {levels} levels. Received: steps={steps!r}.")
    for value in listed:
        _whole("steps", value, 0)
    return listed


def _whole(name, value, least):
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number, {least} or more. Received: {name}={value!r}.")
