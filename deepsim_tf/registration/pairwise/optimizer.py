"""Registration without training: the objective is minimised on the pair itself."""

import numpy as np

from deepsim_tf import checks
from deepsim_tf.grids.affine import mapped
from deepsim_tf.grids.sampling import onto_grid, sample_at
from deepsim_tf.layers import voxel_grid
from deepsim_tf.losses import DeepSim, Diffusion, LocalNCC
from deepsim_tf.registration.objective import objective
from deepsim_tf.registration.pairwise.affine import AffineStage
from deepsim_tf.registration.pairwise.deformable import DeformableStage
from deepsim_tf.registration.pairwise.frame import frame_of
from deepsim_tf.registration.prediction import Prediction
from deepsim_tf.registration.solver import Solver

TRANSFORMS = ("translation", "rigid", "affine", "deformable", "affine+deformable")
WEIGHT = 0.5  # of the regulariser
SMOOTHING = 1.5  # of the gradient, in voxels of the velocity's grid
STEPS = (60, 40, 20)  # on the grids, coarse to fine; further ones have as many as the last


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
        weight: of the regulariser. Default: 0.5.
        transform: "translation", "rigid", "affine", "deformable" or "affine+deformable".
        int_steps: number of squarings of the integration; 0 takes the velocity for the displacement, which may fold
            and has no inverse.
        levels: number of grids of the deformable part, each twice as fine as the one before; the last is the image's.
        steps: of Adam at most on each grid of the deformable part, one number or a list, coarse to fine. Default: 60,
            40, and 20 on the others. Grids of fewer than 16 voxels are left out.
        resolution: length of the voxels of the last grid, in the unit of the fixed image's (mm, or pixels). Default:
            those of the fixed image.
        learning_rate: of Adam in the deformable part, in voxels of the velocity's grid.
        smoothing: standard deviation of the Gaussian that smooths the gradient of the velocity, in voxels of its grid.

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
        smoothing=SMOOTHING,
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
        if not (isinstance(smoothing, (int, float)) and 0 <= smoothing < np.inf):
            raise ValueError(f"smoothing must be a finite number, 0 or more. Received: smoothing={smoothing!r}.")
        self.deformable_stage = DeformableStage(self._objective, int_steps, learning_rate, smoothing)

    def objective(self):
        """See `Solver.objective`."""
        return self._objective

    def describe(self):
        """See `Solver.describe`."""
        terms = {
            name: [[loss.name, factor] for loss, factor in getattr(self._objective, name)]
            for name in ("similarity", "regularizer")
        }
        numbers = {name: getattr(self, name) for name in ("transform", "int_steps", "steps", "resolution")}
        stage = self.deformable_stage
        descent = {"learning_rate": stage.learning_rate, "smoothing": stage.descent.smoothing}
        return {**terms, "weight": self._objective.weight, **numbers, **descent}

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
        images = {"moving": moving, "fixed": fixed}
        for name in ("moving_mask", "fixed_mask"):
            if getattr(pair, name) is not None:
                images[name] = np.asarray(getattr(pair, name), np.float32)
        frame = frame_of(pair)
        found = [self._solve(frame, {name: batch[k] for name, batch in images.items()}) for k in range(len(fixed))]
        flow, affine, inverse, told = zip(*found, strict=True)
        extra = {"optimization": list(told), "inverse": list(inverse)}
        return Prediction(flow=np.stack(flow), affine=np.stack(affine), extra=extra)

    def _solve(self, frame, images):
        """One pair: its flow, affine map, inverse and what is told."""
        told, affine, shape = {}, frame.placement, frame.fixed_shape
        kinds = self.transform.split("+")
        if kinds[0] != "deformable":
            affine, told["affine"] = self.affine_stage(images, frame, transform=kinds[0])
        points = voxel_grid(shape).numpy().astype(float)
        u = back = np.zeros_like(points)
        if kinds[-1] == "deformable":
            together = _on_fixed(images, frame, affine, points)
            limits = {"steps": self.steps, "resolution": self.resolution}
            u, back, told["deformable"] = self.deformable_stage(together, frame.spacing, **limits)
        flow = (mapped(points + u, affine) - points).astype(np.float32)
        inverse = None
        if kinds[-1] != "deformable" or self.int_steps:
            voxels = voxel_grid(frame.moving_shape).numpy().astype(float)
            start = mapped(voxels, np.linalg.inv(affine))
            inverse = (start + sample_at(np.asarray(back, np.float32), start) - voxels).astype(np.float32)
        return flow, affine, inverse, told


def _on_fixed(images, frame, affine, points):
    """The images of the deformable part: the moving one as the affine map brings it to the fixed grid."""
    together, to_grid = dict(images), np.linalg.inv(affine)
    same = frame.moving_shape == frame.fixed_shape and (affine == np.eye(frame.ndim + 1)).all()
    for name in ("moving", "moving_mask"):
        if name in images and not same:  # else as it is, and not interpolated
            together[name] = onto_grid(images[name], to_grid, frame.fixed_shape)
    sent = mapped(points, affine)
    inside = ((sent >= -0.5) & (sent <= np.array(frame.moving_shape) - 0.5)).all(axis=-1)
    if not inside.all():  # beyond the moving image nothing is known
        together["fixed_mask"] = inside * together.get("fixed_mask", np.float32(1))
    return together


def _steps(steps, levels):
    """The most steps on each grid, coarse to fine."""
    if steps is None:
        return [STEPS[min(k, len(STEPS) - 1)] for k in range(levels)]
    listed = list(steps) if isinstance(steps, (list, tuple)) else [steps] * levels
    if len(listed) != levels:
        raise ValueError(f"steps must be one number, or one for each of {levels} levels. Received: steps={steps!r}.")
    for value in listed:
        _whole("steps", value, 0)
    return listed


def _whole(name, value, least):
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number, {least} or more. Received: {name}={value!r}.")
