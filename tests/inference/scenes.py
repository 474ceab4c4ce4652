"""Files for the tests of registration.

One anatomy, known as a function of the world, on any grid; and models whose flow is not zero.
"""

import functools

import deepsim_tf as ds  # isort: skip
import keras
import nibabel
import numpy as np
from scipy.spatial.transform import Rotation

CENTRES = np.random.default_rng(4).uniform(-20, 20, (24, 3))
WIDTHS = np.random.default_rng(5).uniform(5, 9, 24)
HEIGHTS = np.random.default_rng(6).uniform(0.4, 1.0, 24)


def anatomy(points):
    """Intensity, 0 to about 2, at points (*grid, 3) of the world in mm: a sum of blobs within 30 mm of the origin."""
    distances = ((points[..., None, :] - CENTRES) ** 2).sum(-1)
    return (HEIGHTS * np.exp(-distances / (2 * WIDTHS**2))).sum(-1)


def affine(shape, spacing=(1.0, 1.0, 1.0), axes="RAS", angles=(0, 0, 0), centre=(0, 0, 0)):
    """Voxel to world.

    `axes` as nibabel names them, then turned by angles in degrees; the field of view is centred on `centre`.
    """
    matrix = np.zeros((3, 3))
    for axis, code in enumerate(axes):
        row = next(k for k, ends in enumerate(("LR", "PA", "IS")) if code in ends)
        matrix[row, axis] = spacing[axis] * (1 if code in "RAS" else -1)
    result = np.eye(4)
    result[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ matrix
    result[:3, 3] = centre - result[:3, :3] @ ((np.array(shape) - 1) / 2)
    return result


def world(shape, affine):
    """Coordinates of all voxels, (*shape, 3)."""
    return np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


def save_volume(path, shape, voxels, *, shift=(0, 0, 0), scale=100):
    """Write the anatomy, moved by `shift` mm, on a grid; returns the path."""
    data = (scale * anatomy(world(shape, voxels) - shift)).astype("float32")
    kind = nibabel.MGHImage if path.suffix == ".mgz" else nibabel.Nifti1Image
    nibabel.save(kind(data, voxels), path)
    return path


# a model of the same arguments is the same model: building and tracing one takes longer than most tests
@functools.cache
def wavy_model(shape, strength=0.5, offset=1.0, **arguments):
    """An untrained network whose flow is large: random weights in its last layer. Do not train it."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = ds.models.registration_model(shape, **{"features": (4, 4), "intensity": "minmax", **arguments})
    kernel, bias = next(layer for layer in model.network.layers if layer.name.endswith("_flow")).weights
    kernel.assign(strength * rng.standard_normal(kernel.shape))
    bias.assign(offset * rng.uniform(-1, 1, bias.shape))
    return model
