import numpy as np
import pytest

from deepsim_tf.metrics import folding_fraction, jacobian_determinant, sd_log_jacobian


def linear_flow(matrix, shape):
    """The flow of the map p -> p + matrix @ p."""
    return np.moveaxis(np.indices(shape), 0, -1) @ np.asarray(matrix).T


@pytest.mark.parametrize(
    "matrix, shape", [([[0.1, 0.2], [-0.3, 0.4]], (6, 7)), ([[0.1, 0.2, 0.0], [0.5, -0.2, 0.1], [0.3, 0.0, 0.4]], (4, 5, 6))]
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
    # along y the map grows by e^0.2 per voxel for 5 rows, then shrinks by e^-0.3 per voxel; the differences are the two slopes, and
    # their mean at the one row where they meet
    y = np.concatenate([[0], np.cumsum([np.exp(0.2)] * 5 + [np.exp(-0.3)] * 4)])
    flow = np.zeros((10, 6, 2))
    flow[..., 0] = (y - np.arange(10))[:, None]
    logs = [0.2] * 5 + [np.log((np.exp(0.2) + np.exp(-0.3)) / 2)] + [-0.3] * 4
    np.testing.assert_allclose(sd_log_jacobian(flow), np.std(logs), atol=1e-12)


def test_folds_enter_the_spread_at_the_floor():
    # columns 0 and 1 stay, det 1; columns 2 and 3 fold along y, det 1 - 3 = -2: logs 0 and log(1e-3), a deviation of half their distance
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
    with pytest.raises(ValueError, match="jacobian_determinant expects finite .* flow with 2 values that are NaN or infinite"):
        jacobian_determinant(flow)
