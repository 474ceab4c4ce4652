"""Displacement fields in the world, and their NIfTI files, which ANTs, ITK and 3-D Slicer read."""

import dataclasses
from pathlib import Path

import nibabel
import numpy as np

from deepsim_tf import metrics
from deepsim_tf.formats import load_nifti
from deepsim_tf.grids.affine import joined, mapped, split
from deepsim_tf.grids.flow import displacement
from deepsim_tf.grids.sampling import sample_at
from deepsim_tf.grids.world import in_plane, lps, pixel_affine

SLAB = 32  # planes that are worked on at once: volumes of 256^3 then fit into memory several times over
INTENT = 1007  # NIFTI_INTENT_VECTOR: ITK takes its numbers as they are, left - posterior - superior
PIXELS = "pixels"  # the intent's name in files of fields between images without header
EXPECTED = (
    "Expected a NIfTI displacement field: intent 1007 (vector), shape (x, y, z, 1, 3), or (x, y, 1, 1, 2) for"
    " images, in LPS"
)


@dataclasses.dataclass(frozen=True)
class Field:
    """A displacement at every voxel of a fixed image.

    What is at x in the fixed image is at x + vector(x) in the moving one.

    Attributes:
        vectors: (*spatial, ndim) float32, in the world (`grids.world`): mm, right - anterior - superior; or pixels.
        affine: (ndim + 1, ndim + 1), from voxels to the world.
        unit: "mm" or "pixels".
    """

    vectors: np.ndarray
    affine: np.ndarray
    unit: str = "mm"

    @property
    def shape(self):
        """Of the fixed image."""
        return self.vectors.shape[:-1]

    @property
    def ndim(self):
        """Number of spatial axes."""
        return self.vectors.shape[-1]

    def slabs(self):
        """(slice of the first axis, points (*slab, ndim) in the world, their displacements), a few planes at a time."""
        for start in range(0, self.shape[0], SLAB):
            rows = slice(start, min(start + SLAB, self.shape[0]))
            index = np.moveaxis(np.indices((rows.stop - start, *self.shape[1:]), dtype=float), 0, -1)
            index[..., 0] += start
            yield rows, mapped(index, self.affine), self.vectors[rows].astype(float)

    def at(self, points):
        """The displacement at points of the world, (*grid, ndim).

        Beyond the field its border's displacement continues.
        """
        return sample_at(self.vectors, mapped(points, np.linalg.inv(self.affine)))

    def voxels(self):
        """The displacement in voxels of the fixed image, along its own axes: what `ds.metrics` measures."""
        return self.vectors @ np.linalg.inv(self.affine)[:-1, :-1].T.astype(np.float32)

    def determinant(self):
        """det J of x + vector(x) at every voxel, (*spatial) float32; it does not depend on the coordinates."""
        flow, rows = self.voxels(), self.shape[0]
        found = np.empty(self.shape, np.float32)
        for start in range(0, rows, SLAB):
            stop = min(start + SLAB, rows)
            first, last = max(start - 1, 0), min(stop + 1, rows)  # central differences need the neighbours
            if last - first < 2:
                first -= 1
            found[start:stop] = metrics.jacobian_determinant(flow[first:last])[start - first : stop - first]
        return found

    def lengths(self):
        """(mean, maximum) length of the displacement, in `unit`."""
        lengths = np.sqrt(np.einsum("...c,...c->...", self.vectors, self.vectors))
        return float(lengths.mean(dtype=float)), float(lengths.max())


def field_of(flow, geometry):
    """The Field of a solver's flow (*grid, ndim), in voxels of its grid, on the fixed image's own grid."""
    maps = {"fixed_to_grid": geometry.fixed_to_grid, "fixed": geometry.fixed_affine}
    maps["grid_to_moving"] = geometry.flow_to_world
    return Field(displacement(flow, shape=geometry.fixed_shape, **maps), geometry.fixed_affine, geometry.unit)


def write_field(field, path):
    """Write a Field as NIfTI, in LPS: `(x, y, z, 1, 3)`, or `(x, y, 1, 1, 2)` for images, with intent 1007.

    Fields between images without header have the axes in ITK's order (column, row, page) and an identity matrix there.
    """
    ndim, vectors, affine = field.ndim, field.vectors, field.affine
    if field.unit == PIXELS:  # array order -> (column, row, page)
        vectors = vectors.transpose(*range(ndim - 1, -1, -1), ndim)
        affine = affine @ joined(np.fliplr(np.eye(ndim)), np.zeros(ndim))
    full = np.eye(4)
    full[:ndim, :ndim], full[:ndim, 3] = split(affine)
    image = nibabel.Nifti1Image(lps(vectors).reshape(*vectors.shape[:-1], *[1] * (4 - ndim), ndim), full)
    image.header.set_intent(INTENT, name=PIXELS if field.unit == PIXELS else "")
    image.header.set_xyzt_units("unknown" if field.unit == PIXELS else "mm")
    image.set_sform(full, code=1)
    image.set_qform(full, code=1)
    nibabel.save(image, path)


def read_field(path):
    """The Field in a NIfTI displacement field of this package, ANTs or ITK.

    Raises:
        ValueError: no such file, a damaged one, or one that is no displacement field in LPS.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"No file {path}. {EXPECTED}.")
    try:
        image = load_nifti(path)
        shape, intent = image.shape, int(image.header["intent_code"])
        vectors = image.get_fdata(dtype=np.float32, caching="unchanged")
    except Exception as error:  # nibabel meets damaged files with OSError, EOFError, zlib.error, KeyError, ...
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"Cannot read {path} ({reason}). {EXPECTED}.") from None
    ndim = shape[-1]
    if len(shape) != 5 or shape[3] != 1 or ndim not in (2, 3) or (ndim == 2 and shape[2] != 1) or intent != INTENT:
        raise ValueError(f"{path} has shape {shape} and intent {intent}. {EXPECTED}, as ANTs and ITK write it.")
    if not np.isfinite(vectors).all() or not np.isfinite(image.affine).all():
        raise ValueError(f"{path} holds NaN or infinity. {EXPECTED}.")
    vectors = lps(vectors.reshape(*shape[:ndim], ndim))
    if image.header.get_intent()[2] == PIXELS:
        vectors = np.ascontiguousarray(vectors.transpose(*range(ndim - 1, -1, -1), ndim))
        return Field(vectors, pixel_affine(ndim), PIXELS)
    return Field(vectors, np.array(image.affine, float) if ndim == 3 else in_plane(image.affine))
