"""The affine part of a registration without training: a search over coarse poses, then Adam from coarse to fine."""

import numpy as np
import tensorflow as tf

from deepsim_tf.grids.affine import joined, mapped, split
from deepsim_tf.layers import voxel_grid
from deepsim_tf.losses.similarity import values_of
from deepsim_tf.registration.pairwise import poses
from deepsim_tf.registration.pairwise.adam import Adam
from deepsim_tf.registration.pairwise.any_size import AnySize
from deepsim_tf.registration.pairwise.levels import level_of, tensors_on

COARSEST, FINEST = 32, {2: 256, 3: 64}  # voxels on the longest axis of the first and the last grid
KEPT = (8, 3, 1)  # poses that are followed on the first grids
STEPS = 40  # of Adam on each grid
LEARNING_RATE = 0.5  # voxels of the grid
AT_ONCE = 2**21  # voxels of all poses that are compared together


class AffineStage:
    """Finds the affine map between two images; its graphs hold no state of a pair.

    Args:
        similarities: ((loss, factor), ...), losses that work on images of any scale.
    """

    def __init__(self, similarities):
        self.similarities = similarities
        self.values, self.step = AnySize(self._values), AnySize(self._step)

    def __call__(self, images, frame, *, transform):
        """Minimise the similarities.

        Args:
            images: {"moving", "fixed"}: (*spatial, channels) float32, and optionally "moving_mask", "fixed_mask"
                (*spatial).
            frame: the Frame in which they lie.
            transform: "translation", "rigid" or "affine".

        Returns:
            (affine, told): (ndim + 1, ndim + 1), from voxels of fixed to voxels of moving, the placement of the frame
            where nothing is better; and a dict of the loss before and after on the last grid, and that of every grid.
        """
        ndim, longest = frame.ndim, float(frame.extent.max())
        voxel, finest = longest / COARSEST, longest / FINEST[ndim]
        changed = poses.free(transform, ndim)
        found, told = None, []
        while True:
            on = self._on_level(images, frame, voxel)
            if found is None:
                found = self._search(on, frame, changed)
            rigid = poses.free("rigid", ndim) if not told else 1
            found, losses = self._descend(on, ndim, found, changed * rigid, voxel)
            best = np.argsort(losses, kind="stable")[: KEPT[min(len(told) + 1, len(KEPT) - 1)]]
            found, losses = found[best], losses[best]
            shape = on["fixed"].shape[1:-1]
            told.append({"grid": list(shape), "loss": float(losses[0])})
            if voxel <= finest or tuple(shape) == frame.fixed_shape:
                break
            voxel /= 2
        still = np.zeros_like(found[:1])
        before, after = self._losses(on, ndim, np.concatenate([still, found[:1]]))
        told = {"before": float(before), "after": float(min(before, after)), "grids": told}
        return _in_voxels(found[:1] if after < before else still, frame), told

    @staticmethod
    def _on_level(images, frame, voxel):
        """The tensors of one grid: images, masks, its points in the world, and the way into the moving image."""
        fixed = level_of(frame.fixed_shape, frame.spacing, voxel)
        moving = level_of(frame.moving_shape, frame.moving_spacing, voxel)
        voxels = voxel_grid(fixed.shape).numpy()
        to_moving = np.linalg.inv(moving.to_image) @ frame.placement @ np.linalg.inv(frame.to_world)
        matrix, offset = split(to_moving)
        more = {
            "voxels": voxels[None],
            "points": mapped(voxels, frame.to_world @ fixed.to_image)[None],
            "matrix": matrix,
            "offset": offset,
            "radius": frame.radius,
        }
        more = {name: tf.constant(values, tf.float32) for name, values in more.items()}
        return tensors_on(images, {"moving": moving, "fixed": fixed}) | more

    def _values(self, parameters, on):
        """The loss of each of a batch of parameters, (batch,)."""
        ndim, batch = len(on["fixed"].shape) - 2, tf.shape(parameters)[0]
        linear, offset = poses.maps_of(parameters, ndim, on["radius"])
        into = tf.einsum("ij,bjk->bik", on["matrix"], linear)
        offset = tf.einsum("ij,bj->bi", on["matrix"], offset) + on["offset"]
        sent = tf.einsum("bik,pk->bpi", into, tf.reshape(on["points"], [-1, ndim])) + offset[:, None]
        shape = tf.concat([[batch], tf.shape(on["fixed"])[1:-1], [ndim]], axis=0)
        flow = tf.reshape(sent, shape) - on["voxels"]
        flow = tf.ensure_shape(flow, [parameters.shape[0], *on["fixed"].shape[1:-1], ndim])
        repeated = {
            name: tf.repeat(on[name], batch, axis=0)
            for name in ("fixed", "moving", "fixed_mask", "moving_mask")
            if name in on
        }
        return sum(factor * values_of(loss, flow=flow, **repeated) for loss, factor in self.similarities)

    def _step(self, parameters, state, changed, number, learning_rate, on):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(parameters)
            values = self._values(parameters, on)
            # The sum, so that no pose disturbs another; large, so that Adam's epsilon does not swallow the gradient.
            total = 1e3 * tf.reduce_sum(values)
        gradient = changed * tape.gradient(total, parameters)
        moved, state = Adam.moved(parameters, gradient, state, number, learning_rate)
        return values, moved, state

    def _losses(self, on, ndim, parameters):
        """The loss of many parameters, some at a time."""
        size = max(1, AT_ONCE // on["fixed"].shape[1:-1].num_elements())
        parts = [parameters[k : k + size] for k in range(0, len(parameters), size)]
        return np.concatenate([self.values(ndim, tf.constant(part), on).numpy() for part in parts])

    def _search(self, on, frame, changed):
        """The best of all shifts and turns, and always the placement itself: (poses, parameters)."""
        found = poses.shifts(frame.extent)
        if frame.ndim == 3:  # all turns of all shifts would be thousands
            found = found[np.argsort(self._losses(on, 3, found), kind="stable")[: KEPT[0]]]
        found = np.unique(poses.turned(found, frame.ndim, frame.radius) * changed, axis=0)
        best = np.argsort(self._losses(on, frame.ndim, found), kind="stable")[: KEPT[0] - 1]
        return np.concatenate([np.zeros_like(found[:1]), found[best]])

    def _descend(self, on, ndim, parameters, changed, voxel):
        """(parameters, losses): the best that each of a batch of parameters meets on its way."""
        current = tf.constant(parameters)
        state = Adam.start(current)
        best, lowest = parameters.copy(), np.full(len(parameters), np.inf)
        for k in range(STEPS):
            rate = LEARNING_RATE * voxel * (1 + np.cos(np.pi * k / STEPS)) / 2
            numbers = (tf.constant(value, tf.float32) for value in (changed, k + 1, rate))
            values, moved, state = self.step(ndim, current, state, *numbers, on)
            better = values.numpy() < lowest
            best[better], lowest[better] = current.numpy()[better], values.numpy()[better]
            current = moved
        return best, lowest


def _in_voxels(parameters, frame):
    """The affine map of parameters (1, n), from voxels of fixed to voxels of moving, in float64."""
    world = frame.to_world
    linear, offset = (
        part.numpy()[0] for part in poses.maps_of(tf.cast(parameters, tf.float64), frame.ndim, frame.radius)
    )
    if not parameters.any():
        return frame.placement
    return frame.placement @ np.linalg.inv(world) @ joined(np.eye(frame.ndim), offset) @ _linear(linear) @ world


def _linear(matrix):
    return np.pad(matrix, (0, 1)) + np.diag([*[0] * len(matrix), 1])
