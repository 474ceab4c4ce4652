"""The deformable part of a registration without training: a velocity, from coarse grids to fine ones."""

import math

import numpy as np
import tensorflow as tf

from deepsim_tf.layers import integrate, resize, warp
from deepsim_tf.losses import DeepSim
from deepsim_tf.registration.pairwise.descent import Descent, minimise
from deepsim_tf.registration.pairwise.levels import level_of, tensors_on

COARSER = 2  # voxels of the image for one of the velocity, on every axis
SMALLEST = 16  # voxels on the longest axis of a grid; what would be coarser is left out
PATIENCE, TOLERANCE = 10, 1e-3  # a grid is left where the loss fell by no more than that in so many steps


class DeformableStage:
    """Finds the displacement between two images on one grid.

    Args:
        objective: an Objective, whose regularisers see the velocity. Features of a network are those of the images at
            full size, on every grid of the velocity; other similarities see images as coarse as the grid.
        int_steps: squarings of the integration; 0 takes the field as the displacement.
        learning_rate: of Adam, in voxels of the velocity's grid.
        smoothing: standard deviation of the Gaussian that smooths the gradient, in voxels of the velocity's grid.
    """

    def __init__(self, objective, int_steps, learning_rate, smoothing):
        self.int_steps, self.learning_rate = int_steps, learning_rate
        self.full_size = any(isinstance(loss, DeepSim) for loss, _ in objective.similarity)
        self.descent = Descent(objective, self._flow_of, smoothing=smoothing, any_size=not self.full_size)

    def _flow_of(self, velocity, tensors):
        return displaced(velocity, tf.shape(tensors["fixed"])[1:-1], self.int_steps), velocity

    def __call__(self, images, spacing, *, steps, resolution=None):
        """Minimise the objective.

        Args:
            images: {"moving", "fixed"}: (*spatial, channels) float32, and optionally "moving_mask", "fixed_mask"
                (*spatial).
            spacing: length of the voxels on each axis.
            steps: at most, on each grid from the coarsest on that is not left out; each is twice as fine as the one
                before.
            resolution: length of the voxels of the last grid; None: the shortest of the image's.

        Returns:
            (displacement, inverse, told): both (*spatial, ndim) in voxels, with p + displacement(p) and its inverse;
            and a list of dicts, one for each grid.

        Raises:
            ValueError: a loss that is not finite.
        """
        shape = images["fixed"].shape[:-1]
        finest = max(float(np.min(spacing)), resolution or 0)
        voxels = [finest * 2**k for k in reversed(range(len(steps)))]
        levels = [level_of(shape, spacing, voxel) for voxel in voxels]
        levels = [level for level in levels if max(level.shape) >= SMALLEST] or levels[-1:]
        velocity, told = None, []
        for level, most in zip(levels, steps, strict=False):  # a small image has fewer grids
            seen = level_of(shape, spacing, 0) if self.full_size else level
            tensors = tensors_on(images, {"moving": seen, "fixed": seen})
            grid = tuple(max(-(-n // COARSER), 2) for n in level.shape)
            found = minimise(
                self.descent,
                tensors,
                tf.zeros((1, *grid, len(grid))) if velocity is None else rescaled(velocity, grid),
                steps=most,
                learning_rate=lambda k, most=most: self.learning_rate * (1 + math.cos(math.pi * k / (most + 1))) / 2,
                patience=PATIENCE,
                tolerance=TOLERANCE,
            )
            velocity = found.field
            losses = found.history["loss"]
            if not losses:
                raise ValueError("The loss of the two images is not finite before any step. Check their intensities.")
            told.append({"grid": list(level.shape), "steps": len(losses) - 1, **found.history})
        displacement = rescaled(found.flow, shape)
        back = inverted(displacement, displaced(-velocity, shape, self.int_steps))
        return displacement[0].numpy(), back[0].numpy(), told


def displaced(velocity, shape, int_steps):
    """The displacement (1, *shape, ndim) of a velocity (1, *grid, ndim) on a coarser grid, each in its own voxels."""
    return rescaled(integrate(velocity, int_steps=int_steps), shape)


def inverted(displacement, inverse, iterations=6):
    """An inverse displacement, made exacter by fixed-point iterations, e = -u o (id + e), where these come closer.

    The integral of the reversed velocity is the inverse on the velocity's grid, and not quite so between its voxels.
    """
    moved = warp(displacement, inverse)
    for _ in range(iterations):
        closer = -moved
        moved_closer = warp(displacement, closer)
        gaps = (tf.norm(e + u, axis=-1, keepdims=True) for e, u in ((inverse, moved), (closer, moved_closer)))
        better = tf.greater(*gaps)
        inverse, moved = (tf.where(better, *pair) for pair in ((closer, inverse), (moved_closer, moved)))
    return inverse


def rescaled(field, shape):
    """A field on another grid over the same space, in voxels of that grid."""
    old, new = (tf.cast(size, tf.float32) for size in (tf.shape(field)[1:-1], shape))
    return resize(field, [shape[d] for d in range(field.shape[-1])]) * (new / old)
