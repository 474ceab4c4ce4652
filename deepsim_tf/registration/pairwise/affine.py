"""The affine part of a registration without training: a search over coarse poses, then Adam from coarse to fine.

With x as the place of a fixed voxel relative to the centre of the fixed image, in world units, its partner is at

    A(x) = R(r) (I + H) diag(exp(s)) x + t

R is a rotation, H a shear (strictly upper triangular), s the logarithms of the scales and t a translation. R is the
Cayley transform of a skew matrix, (I - S)^-1 (I + S), so that no angle has a special formula. Every parameter is in
world units, divided where it is a slope by the radius of the image, so that a step of one unit moves what is far from
the centre by about one unit, whatever the parameter.
"""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from deepsim_tf.grids.affine import joined, mapped, split
from deepsim_tf.layers import voxel_grid
from deepsim_tf.layers.compiled import without_xla
from deepsim_tf.losses.similarity import values_of
from deepsim_tf.registration.pairwise.adam import Adam
from deepsim_tf.registration.pairwise.levels import level_of

COARSEST, FINEST = 32, {2: 256, 3: 64}  # voxels on the longest axis of the first and the last grid
ANGLES = {2: (-30, -15, 0, 15, 30), 3: (-20, 0, 20)}  # degrees about each axis, tried at the beginning
SHIFTS = {2: 9, 3: 5}  # tried on each axis, from minus to plus half of the field of view
KEPT = (8, 3, 1)  # poses that are followed on the first grids
STEPS = 40  # of Adam on each grid
LEARNING_RATE = 0.5  # voxels of the grid
AT_ONCE = 2**21  # voxels of all poses that are compared together


@dataclasses.dataclass(frozen=True)
class Frame:
    """Where two images lie: what an affine map is worked out in.

    Attributes:
        fixed_shape, moving_shape: spatial shapes.
        spacing: length of the fixed image's voxels, on each axis.
        placement: (ndim + 1, ndim + 1), from voxels of fixed to voxels of moving, before any registration.
    """

    fixed_shape: tuple
    moving_shape: tuple
    spacing: np.ndarray
    placement: np.ndarray

    @property
    def ndim(self):
        """Number of spatial axes."""
        return len(self.fixed_shape)

    @property
    def to_world(self):
        """From fixed voxels to world units around the centre of the fixed image."""
        return joined(self.spacing, -self.spacing * (np.array(self.fixed_shape) - 1) / 2)

    @property
    def extent(self):
        """Size of the fixed field of view in world units, (ndim,)."""
        return self.spacing * self.fixed_shape

    @property
    def radius(self):
        """World units from the centre to a face of the fixed field of view: the mean over the axes."""
        return float(self.extent.mean() / 2)

    @property
    def moving_spacing(self):
        """Length of the moving image's voxels in world units of the fixed one."""
        return np.linalg.norm(split(self.to_world @ np.linalg.inv(self.placement))[0], axis=0)


def count(ndim):
    """Number of parameters by kind: translation, rotation, scale, shear."""
    turns = ndim * (ndim - 1) // 2
    return {"translation": ndim, "rotation": turns, "scale": ndim, "shear": turns}


FREE = {
    "translation": ("translation",),
    "rigid": ("translation", "rotation"),
    "affine": ("translation", "rotation", "scale", "shear"),
}


def maps_of(parameters, ndim, radius):
    """The affine maps of a batch of parameters.

    Args:
        parameters: tensor (batch, n), in world units, in the order of `count`.
        ndim: 2 or 3.
        radius: see `Frame`.

    Returns:
        (linear, offset): tensors (batch, ndim, ndim) and (batch, ndim).
    """
    t, r, s, h = tf.split(parameters, list(count(ndim).values()), axis=-1)
    pairs = list(itertools.combinations(range(ndim), 2))
    upper = np.zeros((len(pairs), ndim, ndim), np.float32)
    for k, (i, j) in enumerate(pairs):
        upper[k, i, j] = 1
    identity = tf.eye(ndim, dtype=parameters.dtype)
    strict = tf.einsum("bk,kij->bij", r / (2 * radius), tf.cast(upper, parameters.dtype))
    skew = strict - tf.linalg.matrix_transpose(strict)
    rotation = tf.linalg.solve(identity - skew, identity + skew)
    shear = identity + tf.einsum("bk,kij->bij", h / radius, tf.cast(upper, parameters.dtype))
    scale = tf.linalg.diag(tf.exp(s / radius))
    return rotation @ shear @ scale, t


class AffineStage:
    """The graphs of the affine part for one objective; they hold no state of a pair.

    Args:
        similarities: ((loss, factor), ...), losses that work on images of any scale.
    """

    def __init__(self, similarities):
        self.similarities = similarities
        self.values = tf.function(without_xla()(self._values), autograph=False)
        self.step = tf.function(without_xla()(self._step), autograph=False)

    def __call__(self, moving, fixed, frame, *, transform, moving_mask=None, fixed_mask=None):
        """The affine map, (ndim + 1, ndim + 1) from voxels of fixed to voxels of moving, and what is told of it.

        Args:
            moving, fixed: (*spatial, channels) float32.
            frame: a Frame.
            transform: "translation", "rigid" or "affine".
            moving_mask, fixed_mask: (*spatial), or None.
        """
        ndim, extent = frame.ndim, frame.extent
        voxel, finest = extent.max() / COARSEST, extent.max() / FINEST[ndim]
        free = _free(transform, ndim)
        parameters, told, level = None, [], 0
        while True:
            here = self._on_level(moving, fixed, frame, max(voxel, finest), moving_mask, fixed_mask)
            if parameters is None:
                parameters = self._search(here, frame, free, KEPT[0])
            rigid = _free("rigid", ndim) * free
            parameters, losses = self._descend(
                here, frame, parameters, rigid if level == 0 else free, max(voxel, finest)
            )
            kept = KEPT[min(level + 1, len(KEPT) - 1)]
            order = np.argsort(losses)[:kept]
            parameters, losses = parameters[order], losses[order]
            told.append({"grid": list(here["shape"]), "loss": float(losses[0])})
            if voxel <= finest or all(n == m for n, m in zip(here["shape"], frame.fixed_shape)):
                break
            voxel, level = voxel / 2, level + 1
        zero = np.zeros((1, parameters.shape[1]), np.float32)
        before, after = self._losses(here, frame, np.concatenate([zero, parameters[:1]]))
        best = parameters[:1] if after < before else zero
        linear, offset = (np.asarray(part, float)[0] for part in maps_of(tf.constant(best), ndim, frame.radius))
        world = frame.to_world
        affine = frame.placement @ np.linalg.inv(world) @ joined(np.eye(ndim), offset) @ _homogeneous(linear) @ world
        return affine, {"levels": told, "before": float(before), "after": float(min(before, after))}

    def _on_level(self, moving, fixed, frame, voxel, moving_mask, fixed_mask):
        """The tensors of one grid."""
        fixed_level = level_of(frame.fixed_shape, frame.spacing, voxel)
        moving_level = level_of(frame.moving_shape, frame.moving_spacing, voxel)
        pre = frame.to_world @ fixed_level.to_image
        post = np.linalg.inv(moving_level.to_image) @ frame.placement @ np.linalg.inv(frame.to_world)
        grid = voxel_grid(fixed_level.shape).numpy()
        tensors = {
            "fixed": fixed_level.of(fixed)[None],
            "moving": moving_level.of(moving)[None],
            "voxels": grid[None],
            "points": mapped(grid, pre)[None],
            "matrix": split(post)[0],
            "offset": split(post)[1],
            "radius": frame.radius,
        }
        for name, mask, level in (("fixed_mask", fixed_mask, fixed_level), ("moving_mask", moving_mask, moving_level)):
            tensors[name] = None if mask is None else level.of(np.asarray(mask, np.float32)[..., None])[None, ..., 0]
        tensors = {k: None if v is None else tf.constant(v, tf.float32) for k, v in tensors.items()}
        return {"shape": fixed_level.shape, "tensors": tensors}

    def _values(self, parameters, on):
        """The loss of each of a batch of parameters, (batch,)."""
        ndim = len(on["fixed"].shape) - 2
        linear, offset = maps_of(parameters, ndim, on["radius"])
        pre = tf.einsum("ij,bjk->bik", on["matrix"], linear)
        post = tf.einsum("ij,bj->bi", on["matrix"], offset) + on["offset"]
        flat = tf.reshape(on["points"], [-1, ndim])
        sent = tf.einsum("bik,pk->bpi", pre, flat) + post[:, None]
        batch = tf.shape(parameters)[0]
        flow = tf.reshape(sent, [batch, *on["fixed"].shape[1:-1], ndim]) - on["voxels"]
        fixed, moving = (tf.repeat(on[name], batch, axis=0) for name in ("fixed", "moving"))
        masks = {
            name: None if on[name] is None else tf.repeat(on[name], batch, axis=0)
            for name in ("fixed_mask", "moving_mask")
        }
        return sum(f * values_of(loss, fixed, moving, flow, **masks) for loss, f in self.similarities)

    def _step(self, parameters, state, free, count_, learning_rate, on):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(parameters)
            values = self._values(parameters, on)
            # of the sum, so that poses do not disturb one another; the mean over the voxels is small
            total = 1e3 * tf.reduce_sum(values)
        moved, state = Adam.moved(parameters, free * tape.gradient(total, parameters), state, count_, learning_rate)
        return values, moved, state

    def _losses(self, here, frame, parameters):
        """The loss of many parameters, some at a time."""
        size = max(1, AT_ONCE // int(np.prod(here["shape"])))
        parts = [parameters[k : k + size] for k in range(0, len(parameters), size)]
        return np.concatenate([self.values(tf.constant(part), here["tensors"]).numpy() for part in parts])

    def _search(self, here, frame, free, kept):
        """The best poses of a lattice of shifts and turns, and always the placement itself: (kept, n)."""
        ndim = frame.ndim
        sizes = count(ndim)
        shifts = np.stack(
            np.meshgrid(*[np.linspace(-0.5, 0.5, SHIFTS[ndim]) * e for e in frame.extent], indexing="ij"), axis=-1
        ).reshape(-1, ndim)
        angles = np.array(list(itertools.product(ANGLES[ndim], repeat=sizes["rotation"])), float)
        turns = 2 * frame.radius * np.tan(np.radians(angles) / 2)

        def poses(shifts, turns):
            found = np.zeros((len(shifts), len(turns), sum(sizes.values())), np.float32)
            found[..., :ndim] = shifts[:, None]
            found[..., ndim : ndim + sizes["rotation"]] = turns
            return found.reshape(-1, found.shape[-1]) * free

        none = np.zeros((1, sizes["rotation"]))
        if ndim == 3:  # first the shifts alone, then the turns at the best of them
            alone = poses(shifts, none)
            shifts = shifts[np.argsort(self._losses(here, frame, alone))[:kept]]
        found = np.unique(poses(shifts, turns), axis=0)
        losses = self._losses(here, frame, found)
        best = found[np.argsort(losses)[: kept - 1]]
        return np.concatenate([np.zeros((1, found.shape[-1]), np.float32), best])

    def _descend(self, here, frame, parameters, free, voxel):
        moving = tf.constant(parameters)
        state = Adam.start(moving)
        best, lowest = np.array(parameters), np.full(len(parameters), np.inf)
        for k in range(STEPS):
            rate = LEARNING_RATE * voxel * (1 + np.cos(np.pi * k / STEPS)) / 2
            values, after, state = self.step(
                moving, state, tf.constant(free), tf.constant(k + 1.0), tf.constant(float(rate)), here["tensors"]
            )
            values = values.numpy()
            better = values < lowest
            best[better], lowest[better] = moving.numpy()[better], values[better]
            moving = after
        return best, lowest


def _free(transform, ndim):
    """Which parameters a transform may change, (n,) of 0 and 1."""
    return np.concatenate([np.full(n, kind in FREE[transform], np.float32) for kind, n in count(ndim).items()])


def _homogeneous(linear):
    return joined(linear, np.zeros(len(linear)))
