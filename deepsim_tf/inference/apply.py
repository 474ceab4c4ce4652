"""Applying, composing and inverting displacement fields."""

import dataclasses

import numpy as np

from deepsim_tf.grids.affine import mapped, voxel_sizes
from deepsim_tf.grids.sampling import sample_at
from deepsim_tf.inference.field import Field

TOLERANCE = 0.01  # of a voxel: an inverse that is closer has converged


def warp_array(image, affine, field, *, labels=False):
    """An image, moved by a field: its values at x + field(x), on the field's grid.

    Args:
        image: array (*spatial) or (*spatial, channels), any real dtype. Every channel moves alike.
        affine: (ndim + 1, ndim + 1), from the image's voxels to the field's world.
        field: a Field.
        labels: nearest voxel instead of linear interpolation.

    Returns:
        Array (*spatial of the field), and channels where `image` has them: float32, or of the dtype of `image` for
        labels. Beyond the image its border's value continues.

    Raises:
        ValueError: an image of another dimension.
    """
    image = np.asarray(image)
    image = image.astype(_stored(image.dtype), copy=False)
    if image.ndim - field.ndim not in (0, 1):
        expected = f"{field.ndim}-D images, (*spatial) or (*spatial, channels)"
        raise ValueError(f"A {field.ndim}-D field warps {expected}. Received: an array of shape {image.shape}.")
    to_image, interpolation = np.linalg.inv(affine), "nearest" if labels else "linear"
    warped = np.empty((*field.shape, *image.shape[field.ndim :]), image.dtype if labels else np.float32)
    for rows, points, vectors in field.slabs():
        warped[rows] = sample_at(image, mapped(points + vectors, to_image), interpolation=interpolation)
    return warped


def in_dtype(array, dtype):
    """A warped image in the dtype of its original: integers are rounded and kept inside their range."""
    dtype = _stored(dtype)
    if dtype.kind not in "ui":
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(array.astype(float)), limits.min, limits.max).astype(dtype)


def _stored(dtype):
    """The dtype in the machine's own byte order (MGZ has the other one).

    Bytes for truth values, which image formats do not have.
    """
    return np.dtype(np.uint8) if np.dtype(dtype).kind == "b" else np.dtype(dtype).newbyteorder("=")


def compose(first, second):
    """One field for two warps: what warps with `first`, and the result with `second`.

    With `first` from registering A to B and `second` from registering B to C, the result takes A to C, on the grid of
    C: x + second(x) is the point in B, and from there `first` leads into A.

    Args:
        first, second: Fields of one world, "mm" or "pixels".

    Raises:
        ValueError: fields of another dimension or unit.
    """
    if (first.ndim, first.unit) != (second.ndim, second.unit):
        received = f"{first.ndim}-D in {first.unit}, and {second.ndim}-D in {second.unit}"
        raise ValueError(f"compose expects two fields of one dimension and unit. Received: {received}.")
    vectors = np.empty(second.vectors.shape, np.float32)
    for rows, points, displacement in second.slabs():
        vectors[rows] = displacement + first.at(points + displacement)
    return Field(vectors, second.affine, second.unit)


def invert(field, *, shape=None, affine=None, iterations=100):
    """The inverse of a field, by fixed-point iteration: e(y) = -d(y + e(y)).

    A step is halved at the voxels where it does not come closer. Where the field folds there is no inverse, and the
    iteration does not converge; the second result says where.

    Args:
        field: a Field d.
        shape, affine: grid of the inverse, normally that of the moving image. Default: that of `field`.
        iterations: at most.

    Returns:
        `(inverse, residual)`: a Field, and (*shape) float32, how far y + e(y) + d(y + e(y)) is from y at every voxel,
        in the unit of the field.

    Reference:
        Chen, Lu, Chen, Ruchala, Olivera: A simple fixed-point approach to invert a deformation field, Medical Physics
            35 (2008).
    """
    if affine is None:
        shape, affine = field.shape, field.affine
    if len(shape) != field.ndim:
        raise ValueError(
            f"A {field.ndim}-D field has an inverse on a {field.ndim}-D grid. Received: a grid of shape {tuple(shape)}."
        )
    tolerance = TOLERANCE * voxel_sizes(field.affine).min()
    target = Field(np.zeros((*shape, field.ndim), np.float32), np.asarray(affine, float), field.unit)
    vectors, residual = target.vectors, np.empty(shape, np.float32)
    for rows, points, _ in target.slabs():
        vectors[rows], residual[rows] = _inverted(field, points, tolerance / 10, iterations)
    return target, residual


def _inverted(field, points, tolerance, iterations):
    """The inverse at points (*slab, ndim), and its residual (*slab): the best that was met."""
    shape, points = points.shape[:-1], points.reshape(-1, points.shape[-1])
    best, error, step = np.zeros_like(points), np.full(len(points), np.inf), np.ones(len(points))
    estimate, todo = -field.at(points), np.arange(len(points))
    for _ in range(iterations):
        gap = estimate + field.at(points[todo] + estimate)  # 0 at the inverse
        length = np.linalg.norm(gap, axis=-1)
        closer = length < error[todo]
        better = todo[closer]
        best[better], error[better] = estimate[closer], length[closer]
        step[todo[~closer]] /= 2
        estimate = estimate - step[todo, None] * gap
        going = (error[todo] > tolerance) & (step[todo] > 1e-3)
        estimate, todo = estimate[going], todo[going]
        if not len(todo):
            break
    return best.reshape(*shape, -1).astype(np.float32), error.reshape(shape)


@dataclasses.dataclass(frozen=True)
class InverseReport:
    """How well an inverse was found."""

    mean: float  # residual, in the field's unit
    largest: float
    failed: float  # fraction of voxels farther off than TOLERANCE of a voxel
    folds: float  # fraction of voxels where the field itself folds
    unit: str

    def __str__(self):
        text = f"Residual: mean {self.mean:.2g} {self.unit}, largest {self.largest:.2g} {self.unit}."
        if not self.failed:
            return f"{text} Converged everywhere."
        why = (
            f"the field folds at {100 * self.folds:.2g} % of its voxels, and has no inverse there"
            if self.folds
            else "the field is too steep there"
        )
        return f"{text} Not converged at {100 * self.failed:.2g} % of the voxels: {why}."


def inverse_report(field, residual):
    """The InverseReport of what `invert` returned."""
    voxel = voxel_sizes(field.affine).min()
    return InverseReport(
        mean=float(residual.mean(dtype=float)),
        largest=float(residual.max()),
        failed=float(np.mean(residual > TOLERANCE * voxel)),
        folds=float(np.mean(field.determinant() <= 0)),
        unit=field.unit,
    )


def check_world(field, in_world, path):
    """Refuse an image that has a position in the world beside a field in pixels, or the reverse."""
    if in_world != (field.unit == "mm"):
        has = "a position in millimetres" if in_world else "no position in the world"
        raise ValueError(
            f"{path} has {has}, and the flow is in {field.unit}. Expected an image like those that were registered."
        )
