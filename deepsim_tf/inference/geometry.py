"""Where two images and the solver's grid lie: in one world (`deepsim_tf.grids.world`)."""

import dataclasses

import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from deepsim_tf import checks
from deepsim_tf.grids.affine import joined, mapped, split, voxel_sizes
from deepsim_tf.grids.fit import fit_image, parse_fit, to_grid
from deepsim_tf.grids.sampling import onto_grid
from deepsim_tf.grids.world import is_world, world_affine

ALIGN = ("headers", "centres")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry:
    """Affine maps, (ndim + 1, ndim + 1), between voxels of two images, of the solver's grid, and the world."""

    grid: tuple  # shape of the solver's grid
    fixed_shape: tuple
    moving_shape: tuple
    fixed_affine: np.ndarray  # voxels -> world
    moving_affine: np.ndarray  # as the file says, without `translation`
    fixed_to_grid: np.ndarray  # voxels -> voxels of the grid
    moving_to_grid: np.ndarray
    translation: np.ndarray  # (ndim,) in the world: added to the moving image's position before anything else
    unit: str  # "mm" or "pixels"
    fit: str | None = None  # of images without header: how `grids.fit` brings them to the grid
    own_grids: bool = False  # the flow goes from fixed to moving voxels, and no image is brought to a grid

    @property
    def flow_to_world(self):
        """From the voxels that a flow points into to the place that the moving image's file gives them."""
        if self.own_grids:
            return self.moving_affine
        return self.moving_affine @ np.linalg.inv(self.moving_to_grid)

    @property
    def placement(self):
        """From voxels of fixed to voxels of moving, before any registration."""
        return np.linalg.inv(self.moving_to_grid) @ self.fixed_to_grid

    @property
    def unregistered(self):
        """The flow that leaves both images where they lie, (*grid, ndim) float32."""
        if not self.own_grids:
            return np.zeros((*self.grid, len(self.grid)), np.float32)
        points = np.moveaxis(np.indices(self.grid, dtype=float), 0, -1)
        return (mapped(points, self.placement) - points).astype(np.float32)

    @property
    def grid_affine(self):
        """From voxels of the grid to the world."""
        return self.fixed_affine @ np.linalg.inv(self.fixed_to_grid)

    def onto_grid(self, name, image):
        """The moving or fixed image, (*spatial) or (*spatial, channels) -> (*grid, channels) float32."""
        image = image[..., None] if image.ndim == len(self.grid) else image
        if self.own_grids:
            return np.asarray(image, np.float32)
        if self.fit is not None:
            return np.asarray(fit_image(image, self.grid, self.fit), np.float32)
        return onto_grid(image, getattr(self, f"{name}_to_grid"), self.grid)


def place(solver, moving, fixed, *, paths=("moving", "fixed"), align="headers"):
    """The Geometry of a pair of images.

    The grid lies along the fixed image's axes, permuted and flipped to the orientation of the model's training images.
    Its voxels have the training images' size, and its centre is that of the fixed field of view; for models that were
    trained on stretched images (`image_fit="resample"`), or that know no voxel size and no fit, it covers exactly the
    fixed field of view. The moving image lies where its header says. Without headers, both images are brought to the
    grid as `ds.register` does. The grid of a solver without a shape of its own is the fixed image's.

    Args:
        solver: a Solver.
        moving, fixed: Headers of the files (`deepsim_tf.formats`).
        paths: their names, for messages.
        align: `"headers"`, or `"centres"`: the moving image is moved so that both fields of view have one centre.

    Raises:
        ValueError: images of another dimension than the model's, or of which only one has a position in the world.
    """
    checks.known("align", align, ALIGN)
    ndim = len(fixed.shape) if solver.ndim is None else solver.ndim
    shape = fixed.shape if solver.shape is None else tuple(solver.shape)
    for path, header in zip(paths, (moving, fixed)):
        if len(header.shape) != ndim:
            raise ValueError(
                f"{path} is {len(header.shape)}-D, of shape {header.shape}. Expected {ndim}-D images, as the model's."
            )
    if is_world(moving) != is_world(fixed):
        with_header, without = paths if is_world(moving) else paths[::-1]
        raise ValueError(
            f"{with_header} says where its voxels lie, and {without} does not. Expected two NIfTI or MGZ files, or two"
            " files without position: convert one of them."
        )
    fixed_affine, moving_affine = world_affine(fixed, paths[1]), world_affine(moving, paths[0])
    known = {"grid": shape, "fixed_shape": fixed.shape, "moving_shape": moving.shape}
    known |= {"fixed_affine": fixed_affine, "moving_affine": moving_affine, "own_grids": solver.own_grids}
    if not is_world(fixed) and solver.own_grids:  # the centres coincide
        offset = (np.array(fixed.shape) - np.array(moving.shape)) / 2
        maps = {"fixed_to_grid": np.eye(ndim + 1), "moving_to_grid": joined(np.eye(ndim), offset)}
        return Geometry(**known, **maps, translation=np.zeros(ndim), unit="pixels")
    if not is_world(fixed):
        if solver.image_fit is None and moving.shape != fixed.shape:
            raise ValueError(
                f"{paths[0]} has shape {moving.shape}, {paths[1]} {fixed.shape}. Expected one shape, as the model's"
                " training images had: crop or pad one of them, or train with --fit pad."
            )
        maps = (joined(*to_grid(image.shape, shape, solver.grid_fit)) for image in (fixed, moving))
        known |= dict(zip(("fixed_to_grid", "moving_to_grid"), maps))
        return Geometry(**known, translation=np.zeros(ndim), unit="pixels", fit=solver.grid_fit)

    oriented = _to_orientation(fixed_affine, fixed.shape, solver.orientation)
    # Of the fixed image, in the solver's order of axes.
    sizes = np.rint(np.abs(split(oriented)[0]) @ fixed.shape).astype(int)
    voxels = voxel_sizes(fixed_affine @ np.linalg.inv(oriented))
    fixed_to_grid = np.eye(ndim + 1) if solver.shape is None else joined(*_scaled(solver, sizes, voxels)) @ oriented
    centres = [
        affine @ [*((np.array(header.shape) - 1) / 2), 1]
        for affine, header in ((fixed_affine, fixed), (moving_affine, moving))
    ]
    translation = (centres[0] - centres[1])[:-1] if align == "centres" else np.zeros(ndim)
    world_to_grid = fixed_to_grid @ np.linalg.inv(fixed_affine)
    moving_to_grid = world_to_grid @ joined(np.eye(ndim), translation) @ moving_affine
    return Geometry(
        **known, fixed_to_grid=fixed_to_grid, moving_to_grid=moving_to_grid, translation=translation, unit="mm"
    )


def _to_orientation(affine, shape, orientation):
    """From voxels of an image to those of the same image, its axes turned to an orientation such as "RAS"."""
    if orientation is None or len(shape) != 3:
        return np.eye(len(shape) + 1)
    return np.linalg.inv(inv_ornt_aff(ornt_transform(io_orientation(affine), axcodes2ornt(orientation)), shape))


def _scaled(solver, sizes, voxels):
    """Scale and offset, per axis, from voxels of an image of these sizes to those of the model's grid."""
    how, factor = parse_fit(solver.image_fit or ("resample" if solver.spacing is None else "pad"))
    if how == "resample":
        return to_grid(sizes, solver.shape, "resample")
    # "pad:2" is a grid of half the voxel size, averaged over blocks.
    finer = voxels if solver.spacing is None else np.divide(solver.spacing, factor)
    if np.allclose(voxels, finer, rtol=0.01):
        return to_grid(sizes, solver.shape, f"pad:{factor}")  # whole voxels are added, as in training
    scale = voxels / (finer * factor)
    return scale, (np.array(solver.shape) - 1) / 2 - scale * (sizes - 1) / 2
