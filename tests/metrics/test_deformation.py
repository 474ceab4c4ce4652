import itertools

import numpy as np
import pytest
from scipy import ndimage

from deepsim_tf.metrics import (
    folding_fraction,
    jacobian_determinant,
    non_diffeomorphic_fraction,
    non_diffeomorphic_volume,
    sd_log_jacobian,
)


def linear_flow(matrix, shape):
    """The flow of the map p -> p + matrix @ p."""
    return np.moveaxis(np.indices(shape), 0, -1) @ np.asarray(matrix).T


@pytest.mark.parametrize(
    "matrix, shape",
    [([[0.1, 0.2], [-0.3, 0.4]], (6, 7)), ([[0.1, 0.2, 0.0], [0.5, -0.2, 0.1], [0.3, 0.0, 0.4]], (4, 5, 6))],
)
def test_the_determinant_of_an_affine_map_is_that_of_its_matrix(matrix, shape):
    determinant = jacobian_determinant(linear_flow(matrix, shape) + 3.0)
    assert determinant.shape == shape
    np.testing.assert_allclose(determinant, np.linalg.det(np.eye(len(shape)) + matrix), atol=1e-12)


def test_a_mirrored_map_folds_everywhere():
    # y -> -y turns the plane over: det = -1, of which an absolute value would make a 1
    flow = linear_flow([[-2.0, 0.0], [0.0, 0.0]], (6, 7))
    np.testing.assert_allclose(jacobian_determinant(flow), -1.0)
    assert folding_fraction(flow) == 1.0


def test_a_fold_is_counted_voxel_by_voxel():
    # y + flow = 0 1 2 3 | 2 1 0 | 1 2 3: central differences 1 1 1 0 -1 -1 0 1 1 1, so 4 of 10 rows are at or below 0
    y = np.array([0.0, 1, 2, 3, 2, 1, 0, 1, 2, 3])
    flow = np.zeros((10, 5, 2))
    flow[..., 0] = (y - np.arange(10))[:, None]
    np.testing.assert_allclose(jacobian_determinant(flow)[:, 0], [1, 1, 1, 0, -1, -1, 0, 1, 1, 1], atol=1e-12)
    assert folding_fraction(flow) == 0.4


def test_a_translation_changes_no_volume():
    flow = np.broadcast_to([2.5, -1.0, 3.0], (4, 5, 6, 3))
    assert sd_log_jacobian(flow) == 0 and folding_fraction(flow) == 0


def test_the_spread_of_a_flow_of_two_scalings_is_known():
    # along y the map grows by e^0.2 per voxel for 5 rows, then shrinks by e^-0.3 per voxel; the differences are the two
    # slopes, and their mean at the one row where they meet
    y = np.concatenate([[0], np.cumsum([np.exp(0.2)] * 5 + [np.exp(-0.3)] * 4)])
    flow = np.zeros((10, 6, 2))
    flow[..., 0] = (y - np.arange(10))[:, None]
    logs = [0.2] * 5 + [np.log((np.exp(0.2) + np.exp(-0.3)) / 2)] + [-0.3] * 4
    np.testing.assert_allclose(sd_log_jacobian(flow), np.std(logs), atol=1e-12)


def test_folds_enter_the_spread_at_the_floor():
    # columns 0 and 1 stay, det 1; columns 2 and 3 fold along y, det 1 - 3 = -2: logs 0 and log(1e-3), a deviation of
    # half their distance
    flow = np.zeros((2, 4, 2))
    flow[1, 2:, 0] = -3.0
    np.testing.assert_allclose(jacobian_determinant(flow), [[1, 1, -2, -2]] * 2, atol=1e-12)
    np.testing.assert_allclose(sd_log_jacobian(flow, floor=1e-3), -np.log(1e-3) / 2, atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 7, 3), (4, 5, 6, 2), (1, 6, 7, 2), (1, 7, 2)])
def test_anything_but_one_flow_is_refused(shape):
    with pytest.raises(ValueError, match=r"flow must be one displacement field, \(\*spatial, ndim\), 2-D or 3-D"):
        jacobian_determinant(np.zeros(shape))


def test_a_flow_that_is_not_finite_is_refused():
    flow = np.zeros((5, 5, 2))
    flow[2, 2] = np.nan, np.inf
    with pytest.raises(
        ValueError, match="jacobian_determinant expects finite .* flow with 2 values that are NaN or infinite"
    ):
        jacobian_determinant(flow)


@pytest.mark.parametrize("shape", [(6, 7), (5, 6, 7)])
def test_the_determinant_is_that_of_numpy(shape, rng):
    flow = rng.standard_normal((*shape, len(shape)))
    gradients = np.stack(np.gradient(flow, axis=tuple(range(len(shape)))), axis=-1)
    np.testing.assert_allclose(jacobian_determinant(flow), np.linalg.det(gradients + np.eye(len(shape))), atol=1e-12)


def test_a_known_determinant_is_not_computed_again(rng):
    flow = rng.standard_normal((8, 9, 10, 3))
    determinant = jacobian_determinant(flow)
    assert folding_fraction(None, determinant=determinant) == folding_fraction(flow)
    for convention in ("plain", "learn2reg"):
        assert sd_log_jacobian(None, convention=convention, determinant=determinant) == sd_log_jacobian(
            flow, convention=convention
        )


def test_learn2reg_adds_3_and_leaves_out_two_voxels(rng):
    # its evaluation code in NumPy: correlations with (-1/2, 0, 1/2), the crop, + 3, the clip
    flow = 2 * rng.standard_normal((8, 9, 7, 3))
    kernel = np.array([-0.5, 0, 0.5])
    jacobian = np.stack([ndimage.correlate1d(flow, kernel, axis) for axis in range(3)], axis=-1) + np.eye(3)
    determinant = np.linalg.det(jacobian)[2:-2, 2:-2, 2:-2]
    expected = np.log((determinant + 3).clip(0.000000001, 1000000000)).std()
    np.testing.assert_allclose(sd_log_jacobian(flow, convention="learn2reg"), expected, rtol=1e-12)
    assert determinant.min() < -3  # the clip took part


def test_the_conventions_of_the_spread_are_named_and_need_their_voxels():
    with pytest.raises(ValueError, match="Unknown convention 'l2r'. Available: plain, learn2reg"):
        sd_log_jacobian(np.zeros((6, 6, 2)), convention="l2r")
    with pytest.raises(ValueError, match=r"leaves out 2 voxels on each side, .* Received: a map of shape \(4, 6\)"):
        sd_log_jacobian(np.zeros((4, 6, 2)), convention="learn2reg")


@pytest.mark.parametrize(
    "flow", [np.zeros((5, 6, 2)), np.full((4, 5, 6, 3), 2.5), linear_flow([[0.5, 0.2], [-0.3, 0.1]], (6, 7))]
)
def test_maps_that_do_not_fold_have_no_folded_volume(flow):
    assert non_diffeomorphic_volume(flow) == 0 and non_diffeomorphic_fraction(flow) == 0


def test_the_folded_area_of_one_moved_pixel_by_hand():
    # a pixel passes its neighbour by half a pixel: in each of the two squares between them, under both of its splits,
    # one triangle of base 1/2 and height 1 is turned over, 1/4; of 100 pixels that is 2 / 4. Central differences next
    # to it are 1 +- 0.75: no fold
    flow = np.zeros((10, 10, 2))
    flow[4, 5, 0] = 1.5
    assert jacobian_determinant(flow).min() == 0.25 and folding_fraction(flow) == 0
    np.testing.assert_allclose(non_diffeomorphic_volume(flow), 0.5)
    np.testing.assert_allclose(non_diffeomorphic_fraction(flow), 2 / 100)  # the pixel and the neighbour it passes


def test_the_folded_volume_of_one_moved_voxel_by_hand():
    # as above in the four cubes around the edge: a tetrahedron with three edges 1/2, 1, 1 at a right angle, 1/12, in
    # both splits of each
    flow = np.zeros((6, 5, 7, 3))
    flow[2, 2, 3, 2] = -1.5
    assert folding_fraction(flow) == 0
    np.testing.assert_allclose(non_diffeomorphic_volume(flow), 100 * 4 / 12 / (6 * 5 * 7))


@pytest.mark.parametrize("shape", [(6, 7), (6, 5, 4), (20, 4, 5)])  # 20 planes are computed in several slabs
def test_a_mirrored_map_folds_all_but_half_the_border(shape):
    # y -> -y; constant beyond the border, so the simplices outside the first and last plane, half of theirs, keep their
    # side
    matrix = np.zeros((len(shape), len(shape)))
    matrix[0, 0] = -2
    np.testing.assert_allclose(non_diffeomorphic_volume(linear_flow(matrix, shape)), 100 * (shape[0] - 1) / shape[0])
    assert non_diffeomorphic_fraction(linear_flow(matrix, shape)) == 1


@pytest.mark.parametrize("shape", [(9, 8), (10, 6, 7)])
def test_the_folded_volume_is_that_of_the_simplices_one_by_one(shape, rng):
    # the reference: every cell of the grid, constant beyond the border, cut in two ways into simplices whose volumes
    # are taken one by one
    ndim = len(shape)
    phi = np.pad(rng.standard_normal((*shape, ndim)), [(1, 1)] * ndim + [(0, 0)], mode="edge") + np.moveaxis(
        np.indices([n + 2 for n in shape]), 0, -1
    )
    corners = np.array(list(itertools.product((0, 1), repeat=ndim)))
    folded = 0.0
    for cell in itertools.product(*(range(n + 1) for n in shape)):
        for corner in corners:  # the simplex at a corner of the cell, if that corner is a voxel of the image
            p = cell + corner
            if (p >= 1).all() and (p <= shape).all():
                edges = [phi[tuple(p + step)] - phi[tuple(p)] for step in np.diag(1 - 2 * corner)]
                folded += max(-np.linalg.det(edges) * np.prod(1 - 2 * corner), 0)
        for middle in (corners[corners.sum(1) % 2 == 0], corners[corners.sum(1) % 2 == 1][::-1]) if ndim == 3 else ():
            p = cell + middle[0]  # the corner (0, 0, 0) or (1, 1, 1), with the three across the faces
            if (p >= 1).all() and (p <= shape).all():
                edges, rest = (points[1:] - points[0] for points in (phi[tuple((cell + middle).T)], middle))
                folded += max(-np.linalg.det(edges) * np.sign(np.linalg.det(rest)), 0)
    expected = 100 * folded / np.prod(range(1, ndim + 1)) / 2 / np.prod(shape)
    assert expected > 1
    np.testing.assert_allclose(
        non_diffeomorphic_volume(flow=phi[(slice(1, -1),) * ndim] - np.moveaxis(np.indices(shape), 0, -1)), expected
    )


@pytest.mark.parametrize("measure", [non_diffeomorphic_volume, non_diffeomorphic_fraction])
def test_flows_that_are_none_have_no_folded_volume(measure):
    with pytest.raises(ValueError, match=r"flow must be one displacement field, .* Received: flow.shape=\(6, 7, 3\)"):
        measure(np.zeros((6, 7, 3)))
    with pytest.raises(ValueError, match=f"{measure.__name__} expects finite .* flow with 1 values"):
        measure(np.where(np.arange(60).reshape(5, 6, 2) == 7, np.nan, 0.0))
