"""Affine maps by parameters, and those that a search begins with.

With x as the place of a fixed voxel relative to the centre of the fixed image, in world units, its partner is at

    A(x) = R(r) (I + H) diag(exp(s)) x + t

R is a rotation, H a shear (strictly upper triangular), s the logarithms of the scales and t a translation. R is the
Cayley transform of a skew matrix, (I - S)^-1 (I + S), so that no angle has a special formula. Every parameter is in
world units, divided where it is a slope by the radius of the image, so that a step of one unit moves what is far from
the centre by about one unit, whatever the parameter.
"""

import itertools

import numpy as np
import tensorflow as tf

FREE = {
    "translation": ("translation",),
    "rigid": ("translation", "rotation"),
    "affine": ("translation", "rotation", "scale", "shear"),
}
ANGLES = {2: (-30, -15, 0, 15, 30), 3: (-20, 0, 20)}  # degrees about each axis
SHIFTS = {2: 9, 3: 5}  # on each axis, from minus to plus half of the field of view


def count(ndim):
    """Number of parameters by kind, in their order."""
    turns = ndim * (ndim - 1) // 2
    return {"translation": ndim, "rotation": turns, "scale": ndim, "shear": turns}


def free(transform, ndim):
    """Which parameters "translation", "rigid" or "affine" may change: (n,) of 0 and 1."""
    return np.concatenate([np.full(n, kind in FREE[transform], np.float32) for kind, n in count(ndim).items()])


def maps_of(parameters, ndim, radius):
    """The affine maps of a batch of parameters.

    Args:
        parameters: tensor (batch, n), in world units, in the order of `count`.
        ndim: 2 or 3.
        radius: of the image, in world units.

    Returns:
        (linear, offset): tensors (batch, ndim, ndim) and (batch, ndim).
    """
    t, r, s, h = tf.split(parameters, list(count(ndim).values()), axis=-1)
    pairs = list(itertools.combinations(range(ndim), 2))
    upper = np.zeros((len(pairs), ndim, ndim), np.float32)
    for k, (i, j) in enumerate(pairs):
        upper[k, i, j] = 1
    identity, upper = tf.eye(ndim, dtype=parameters.dtype), tf.cast(upper, parameters.dtype)
    strict = tf.einsum("bk,kij->bij", r / (2 * radius), upper)
    skew = strict - tf.linalg.matrix_transpose(strict)
    rotation = tf.linalg.solve(identity - skew, identity + skew)
    shear = identity + tf.einsum("bk,kij->bij", h / radius, upper)
    return rotation @ shear @ tf.linalg.diag(tf.exp(s / radius)), t


def shifts(extent):
    """Translations by up to half of a field of view of this extent in world units, (n, parameters)."""
    ndim = len(extent)
    lines = [np.linspace(-0.5, 0.5, SHIFTS[ndim]) * length for length in extent]
    lattice = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, ndim)
    return np.pad(lattice, [(0, 0), (0, sum(count(ndim).values()) - ndim)]).astype(np.float32)


def turned(parameters, ndim, radius):
    """Poses, each of them turned by all the angles: (n * angles, parameters)."""
    angles = np.array(list(itertools.product(ANGLES[ndim], repeat=count(ndim)["rotation"])), float)
    found = np.repeat(parameters[:, None], len(angles), axis=1)
    found[..., ndim : ndim + angles.shape[1]] = 2 * radius * np.tan(np.radians(angles) / 2)  # of Cayley's transform
    return found.reshape(-1, parameters.shape[-1])
