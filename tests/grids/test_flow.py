"""A flow on a grid, brought to the images: against known voxels, and against affine maps worked out by hand."""

import numpy as np
import pytest
from scipy import ndimage

from deepsim_tf.grids.affine import joined, mapped
from deepsim_tf.grids.fit import fit_image
from deepsim_tf.grids.flow import displacement, flow_on_images
from deepsim_tf.layers import warp


def constant(shape, *components):
    """A flow that is the same everywhere."""
    return np.broadcast_to(np.float32(components), (*shape, len(shape))).copy()


def warped(image, flow, interpolation="linear"):
    return np.asarray(warp(image[None, ..., None], flow[None], interpolation=interpolation))[0, ..., 0]


@pytest.mark.parametrize("fit", ["pad", "pad:2", "pad:3", "resample"])
@pytest.mark.parametrize("grid", [(16, 16), (15, 17)])
@pytest.mark.parametrize("fixed_shape", [(30, 35), (29, 32), (12, 40), (16, 16)])
@pytest.mark.parametrize("moving_shape", [(31, 33), (28, 24), (16, 16)])
def test_no_flow_on_the_grid_shows_the_same_grid_points_in_both_images(fit, grid, fixed_shape, moving_shape):
    # Images whose value is the coordinate they have on the grid: bringing moving to fixed must not change the value.
    found = flow_on_images(constant(grid, 0, 0), fixed_shape, moving_shape, fit)
    assert found.shape == (*fixed_shape, 2) and found.dtype == np.float32
    for axis in (0, 1):
        on_grid = coordinates(fixed_shape, grid, fit, axis)
        pointed = np.interp(
            np.arange(fixed_shape[axis]) + found.take(0, 1 - axis)[:, axis], *extended(moving_shape, grid, fit, axis)
        )
        np.testing.assert_allclose(pointed, on_grid, atol=1e-4)


def coordinates(shape, grid, fit, axis):
    """The grid's coordinate of each voxel of an axis, read off `fit_image` of images that show it.

    Independent of the code under test.
    """
    n, target, factor = shape[axis], grid[axis], int(fit.partition(":")[2] or 1)
    if fit == "resample":
        return (np.arange(n) + 0.5) * target / n - 0.5
    # Where voxel 0 comes to lie on the finer grid: its index after padding, or how many were cropped.
    ramp = fit_image(np.arange(1.0, n + 1).reshape(1, n, 1), (1, target * factor), "pad")[0, :, 0]
    first = np.flatnonzero(ramp == ramp[-1])[0] - (ramp[-1] - 1)  # a voxel that is surely inside, minus its number
    return (np.arange(n) + first + 0.5) / factor - 0.5


def extended(shape, grid, fit, axis):
    """Voxels and their grid coordinates, far beyond the border, for np.interp."""
    line = coordinates(shape, grid, fit, axis)
    step = line[1] - line[0]
    return [-1000, len(line) + 999], [line[0] - 1000 * step, line[-1] + 1000 * step]


def test_a_marked_voxel_maps_back_through_padding():
    # 9 x 12 lies at rows 3-11, columns 2-13 of 16 x 16; 12 x 7 at rows 2-13, columns 4-10. Moving (4, 3) is grid (6,
    # 7), fixed (5, 6) is grid (8, 8).
    moving, fixed = np.zeros((12, 7), np.float32), np.zeros((9, 12), np.float32)
    moving[4, 3], fixed[5, 6] = 1, 1
    np.testing.assert_array_equal(np.argwhere(fit_image(moving[..., None], (16, 16), "pad")[..., 0]), [[6, 7]])
    np.testing.assert_array_equal(np.argwhere(fit_image(fixed[..., None], (16, 16), "pad")[..., 0]), [[8, 8]])
    flow = flow_on_images(constant((16, 16), 6 - 8, 7 - 8), fixed.shape, moving.shape, "pad")
    np.testing.assert_array_equal(flow[5, 6], [4 - 5, 3 - 6])
    np.testing.assert_array_equal(warped(moving, flow), fixed)
    np.testing.assert_array_equal(warped(moving.astype(np.int32), flow, "nearest"), fixed)


def test_a_constant_flow_on_the_padded_grid_is_that_flow_plus_the_difference_of_the_borders():
    flow = flow_on_images(constant((8, 8, 8), 1.5, -2, 0.25), (4, 5, 6), (8, 7, 3), "pad")
    # Voxels before the images: fixed 2, 1, 1; moving 0, 0, 2.
    np.testing.assert_allclose(flow, constant((4, 5, 6), 1.5 + 2 - 0, -2 + 1 - 0, 0.25 + 1 - 2))


def test_a_flow_on_a_coarser_grid_is_as_many_times_longer_on_the_images():
    for shape in ((16, 16), (8, 8)):  # also where the images happen to have the size of the grid
        flow = flow_on_images(constant((8, 8), 1, -0.5), shape, shape, "pad:2")
        np.testing.assert_allclose(flow, constant(shape, 2, -1), atol=1e-6)


def test_a_flow_on_a_resampled_grid_scales_with_each_axis():
    flow = flow_on_images(constant((8, 10), 1, 2), (16, 5), (16, 5), "resample")
    np.testing.assert_allclose(flow, constant((16, 5), 2, 1), atol=1e-6)


def test_a_varying_flow_is_sampled_at_the_voxels_of_the_fixed_image():
    ramp = constant((8, 8), 0, 0)
    ramp[..., 0] = np.arange(8)[None, :]  # the first component is the column of the grid
    found = flow_on_images(ramp, (8, 4), (8, 4), "pad")[..., 0]
    np.testing.assert_allclose(found, np.broadcast_to([2, 3, 4, 5], (8, 4)), atol=1e-6)
    found = flow_on_images(ramp, (8, 4), (8, 4), "resample")[..., 0]
    np.testing.assert_allclose(found, np.broadcast_to([0.5, 2.5, 4.5, 6.5], (8, 4)), atol=1e-6)
    # Twice finer, twice longer: fine columns 0 .. 3 lie at -0.25 (the border's value), 0.25, 0.75, 1.25.
    found = flow_on_images(ramp, (16, 16), (16, 16), "pad:2")[0, :4, 0]
    np.testing.assert_allclose(found, [0, 0.5, 1.5, 2.5], atol=1e-6)


@pytest.mark.parametrize(("fit", "grid"), [("pad", (40, 44)), ("pad:2", (20, 22)), ("resample", (24, 24))])
def test_registering_on_the_grid_registers_the_images(fit, grid):
    # A blob at known places in files of different sizes: the constant grid flow that joins them, brought back, joins
    # them in the files.
    def image(shape, centre):
        return ndimage.gaussian_filter(np.float32(np.indices(shape).transpose(1, 2, 0) == centre).prod(-1), 3)[
            ..., None
        ]

    moving, fixed = image((32, 40), (14, 22)), image((36, 30), (19, 12))
    at_moving, at_fixed = (np.array(ndimage.center_of_mass(fit_image(i, grid, fit)[..., 0])) for i in (moving, fixed))
    flow = flow_on_images(constant(grid, *(at_moving - at_fixed)), (36, 30), (32, 40), fit)
    np.testing.assert_allclose(flow[19, 12], [14 - 19, 22 - 12], atol=0.1)


def test_the_flow_of_images_of_the_grids_size_is_the_flow_itself():
    flow = np.random.default_rng(0).random((6, 7, 2), np.float32)
    for fit in ("pad", "resample"):
        np.testing.assert_allclose(flow_on_images(flow, (6, 7), (6, 7), fit), flow)


def test_a_flow_under_oblique_maps_is_the_difference_of_the_mapped_points(rng):
    # A flow that is linear in the grid's voxels is interpolated without error: q - A p by hand, at every voxel.
    grid, shape = (12, 14, 16), (4, 5, 6)
    slope, shift = rng.uniform(-0.1, 0.1, (3, 3)), rng.uniform(-1, 1, 3)
    flow = mapped(np.moveaxis(np.indices(grid), 0, -1), joined(slope, shift)).astype("float32")
    to_grid, to_world, fixed = (
        joined(np.diag([1.2, 1.5, 1.1]) + rng.uniform(-0.2, 0.2, (3, 3)), offset)
        for offset in ((3.0, 2.5, 4.0), (-20.0, 5.0, 7.0), (0.5, -1.0, 30.0))
    )
    p = np.moveaxis(np.indices(shape), 0, -1)
    g = mapped(p, to_grid)
    assert g.min() >= 0 and (g <= np.array(grid) - 1).all()
    expected = mapped(g + mapped(g, joined(slope, shift)), to_world) - mapped(p, fixed)
    np.testing.assert_allclose(displacement(flow, to_grid, to_world, shape, fixed=fixed), expected, atol=1e-4)
    in_voxels = displacement(flow, to_grid, to_world, shape)
    np.testing.assert_allclose(in_voxels, expected + mapped(p, fixed) - p, atol=1e-4)
