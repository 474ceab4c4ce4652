"""Affine maps in homogeneous coordinates, (ndim + 1, ndim + 1): between voxels of images, of grids, and the world."""

import numpy as np


def split(affine):
    """The matrix (ndim, ndim) and the offset (ndim,) of an affine map in homogeneous coordinates."""
    return affine[:-1, :-1], affine[:-1, -1]


def joined(matrix, offset):
    """The affine map in homogeneous coordinates, (ndim + 1, ndim + 1); a vector as matrix is its diagonal."""
    affine = np.eye(len(offset) + 1)
    affine[:-1, :-1], affine[:-1, -1] = np.diag(matrix) if np.ndim(matrix) == 1 else matrix, offset
    return affine


def mapped(points, affine):
    """Points (.., ndim) under an affine map."""
    matrix, offset = split(affine)
    return points @ matrix.T + offset


def voxel_sizes(affine):
    """The length of one step along each axis of voxels, (ndim,), in units of the target."""
    return np.linalg.norm(split(affine)[0], axis=0)
