"""Spatial augmentation: one random affine map per sample, for its images and its label maps alike."""

import itertools
import math

import tensorflow as tf

from deepsim_tf.augmentation.arguments import Shown, image_keys, is_number, number_range
from deepsim_tf.grids.sampling_graph import sample_at

VOLUMES = {"rotation": 5.0, "scale": (1.0, 1.0), "shear": 0.0}  # the paper's for 3-D data; the defaults are for 2-D


class RandomAffine(Shown):
    """Rotate, scale, shear, move and flip each sample of a batch at random.

    The sample at voxel p is read at c + A (p - c) + t, where c is the centre of the grid,
    A = rotation * shear * flips / scale, and t the translation. Images are sampled linearly, labels
    nearest, all channels by the same map; beyond the border the border's value continues. Angles are
    in voxel coordinates, so on anisotropic voxels a rotation also shears. The defaults are the paper's
    for the 2-D data.

    Args:
        rotation: largest angle in degrees, drawn from +-rotation; in 3-D, one angle about each axis.
        scale: (least, largest) magnification, the same on all axes; above 1, structures get larger.
        shear: largest off-diagonal element of the shear matrix, drawn from +-shear.
        translation: largest translation as a fraction of each side, drawn from +-translation. (The authors' own
            translation has no effect; 0 is therefore their setting.)
        flip: whether each axis is flipped with probability 1/2.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> augment = ds.augmentation.RandomAffine(rotation=5)
        >>> batches = ds.data.registration_dataset(images, 4, training=True, augment=augment)
    """

    def __init__(self, *, rotation=180.0, scale=(0.8, 1.2), shear=0.03, translation=0.0, flip=True):
        for name, value, most in (("rotation", rotation, 180), ("shear", shear, 0.5), ("translation", translation, 1)):
            if not is_number(value) or not 0 <= value <= most:
                raise ValueError(f"{name} must be a number from 0 to {most}. Received: {name}={value!r}.")
        self.rotation, self.scale = rotation, number_range("scale", scale, least=0, exclusive=True)
        self.shear, self.translation, self.flip = shear, translation, bool(flip)

    def __call__(self, tensors, seed):
        """Apply the same map to every tensor of a sample.

        Args:
            tensors: dict of images (batch, *spatial, channels), float, and label maps (batch, *spatial),
                integer, whose keys end in "labels"; all on one grid.
            seed: two integers; equal seeds give equal maps.

        Returns:
            dict with the same keys, shapes and dtypes.
        """
        tensors = {key: tf.convert_to_tensor(value) for key, value in tensors.items()}
        labels = [key for key in tensors if key.endswith("labels")]
        images = image_keys(tensors)
        first = tensors[images[0]]
        shape = first.shape[1:-1]
        for key in images + labels:
            spatial = tensors[key].shape[1:] if key in labels else tensors[key].shape[1:-1]
            if spatial.as_list() != shape.as_list():
                raise ValueError(
                    f"All tensors of a sample share a grid. Received: {images[0]} on {shape}, {key} on {spatial}."
                )
        size = tf.cast(tf.shape(first)[1:-1], tf.float32)
        matrix, offset = self.sample(tf.shape(first)[0], len(shape), seed)
        moved = _resample([tensors[key] for key in images], [tensors[key] for key in labels], matrix, offset * size)
        moved = dict(zip(images + labels, moved))
        return {key: tf.ensure_shape(moved[key], value.shape) for key, value in tensors.items()}

    def sample(self, count, ndim, seed):
        """Draw `count` maps.

        Matrices A (count, ndim, ndim), and translations (count, ndim) as fractions of the sides.
        """
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, num=5))

        def uniform(shape, low, high):
            return tf.random.stateless_uniform([count, *shape], seeds.pop(), low, high)

        planes = list(itertools.combinations(range(ndim), 2))
        angles = uniform([len(planes)], -self.rotation, self.rotation) * (math.pi / 180)
        scale = uniform([1, 1], *self.scale)
        shear = uniform([ndim, ndim], -self.shear, self.shear)
        offset = uniform([ndim], -self.translation, self.translation)
        signs = tf.where(uniform([ndim], 0, 1) < (0.5 if self.flip else 0.0), -1.0, 1.0)

        matrix = tf.eye(ndim) + tf.linalg.set_diag(shear, tf.zeros([count, ndim]))
        for k, (i, j) in enumerate(planes):
            matrix = _rotation(angles[:, k], i, j, ndim) @ matrix
        return matrix * signs[:, None, :] / scale, offset


def affine_points(matrix, translation, shape):
    """The points c + A (p - c) + t that an affine map about the grid's centre c reads.

    Args:
        matrix: A, tensor (batch, ndim, ndim).
        translation: t in voxels, tensor (batch, ndim).
        shape: the spatial shape, a tuple or a 1-D integer tensor.

    Returns:
        One tensor (batch, *shape) per axis, float32, in voxels.
    """
    matrix, translation = tf.convert_to_tensor(matrix, tf.float32), tf.convert_to_tensor(translation, tf.float32)
    ndim = matrix.shape[-1]
    ones = [1] * ndim
    centre = [(tf.cast(n, tf.float32) - 1) / 2 for n in tf.unstack(tf.convert_to_tensor(shape, tf.int32))]
    # p - c along each axis, (n, 1, ..) to (.., 1, n): sums that broadcast need no grid of all points.
    lines = [tf.reshape(tf.range(2 * c + 1) - c, [*ones[:e], -1, *ones[e + 1 :]]) for e, c in enumerate(centre)]
    points = []
    for d in range(ndim):
        point = tf.reshape(centre[d] + translation[:, d], [-1, *ones])
        for e in range(ndim):
            point = point + tf.reshape(matrix[:, d, e], [-1, *ones]) * lines[e]
        points.append(point)
    return points


# XLA makes one loop of coordinates, neighbours and weights, which otherwise are some forty arrays as large as the
# image: about a quarter of the processor time, and it works within tf.data. Images as channels of one would be slower
# under XLA.
@tf.function(jit_compile=True, autograph=False)
def _resample(images, labels, matrix, translation):
    """`images` sampled linearly and `labels` nearest at the points of an affine map, in one list."""
    points = affine_points(matrix, translation, tf.shape(images[0])[1:-1])
    moved = [sample_at(image, points) for image in images]
    return moved + [sample_at(part[..., None], points, interpolation="nearest")[..., 0] for part in labels]


def _rotation(angle, i, j, ndim):
    """Rotation by `angle` (batch,), in radians, in the plane of axes i and j: (batch, ndim, ndim)."""
    # E_ij + E_ji sit in constant matrices, because a tensor's elements cannot be assigned.
    plane = tf.one_hot([i, j], ndim)  # (2, ndim): rows e_i, e_j
    diagonal = tf.linalg.diag(tf.reduce_sum(plane, 0))
    turn = tf.tensordot(plane[1], plane[0], 0) - tf.tensordot(plane[0], plane[1], 0)
    angle = angle[:, None, None]
    return tf.eye(ndim) + (tf.cos(angle) - 1) * diagonal + tf.sin(angle) * turn
