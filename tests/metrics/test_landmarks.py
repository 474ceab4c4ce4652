import numpy as np
import pytest

from deepsim_tf.metrics import target_registration_error


def test_a_flow_that_carries_the_landmarks_over_leaves_no_error(rng):
    fixed = rng.uniform(1, 7, (20, 3))
    flow = np.broadcast_to([1.0, -0.5, 2.0], (9, 9, 9, 3))
    np.testing.assert_allclose(target_registration_error(flow, fixed, fixed + flow[0, 0, 0]), 0, atol=1e-12)


def test_no_registration_leaves_the_distance_in_millimetres():
    # 3 voxels of 1 mm along y and 2 voxels of 2 mm along x: a right triangle of 3, 4 and 5 mm
    errors = target_registration_error(np.zeros((6, 8, 2)), [[1, 2], [5, 3]], [[4, 4], [5, 3]], spacing=(1.0, 2.0))
    np.testing.assert_allclose(errors, [5.0, 0.0])


def test_the_flow_is_taken_at_the_fixed_landmark_with_its_sign():
    # the flow pulls: warped(p) = moving(p + flow(p)), so the structure at fixed p comes from moving p + flow(p)
    flow = np.zeros((10, 10, 2))
    flow[2, 3] = 4.0, 1.0
    np.testing.assert_allclose(target_registration_error(flow, [[2, 3]], [[6, 4]]), [0.0])
    np.testing.assert_allclose(target_registration_error(flow, [[6, 4]], [[2, 3]]), [np.hypot(4, 1)])


def test_between_voxels_the_flow_is_linear():
    # flow = 0.5 row + 0.25 column along axis 0: linear interpolation is exact, at (1.5, 2.25) it is 0.75 + 0.5625
    rows, columns = np.indices((6, 7))
    flow = np.stack([0.5 * rows + 0.25 * columns, 0 * rows], axis=-1)
    np.testing.assert_allclose(target_registration_error(flow, [[1.5, 2.25]], [[1.5 + 1.3125, 2.25]]), 0, atol=1e-12)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.zeros((5, 5, 3)), [[1, 1]], [[1, 1]]), r"flow must be one displacement field.*flow.shape=\(5, 5, 3\)"),
        (
            (np.zeros((5, 5, 2)), [[1, 1, 1]], [[1, 1]]),
            r"expects landmarks \(N, 2\). Received: fixed_landmarks.shape=\(1, 3\)",
        ),
        ((np.zeros((5, 5, 2)), [[1, 1], [2, 2]], [[1, 1]]), "as many fixed as moving landmarks. Received: 2 and 1"),
        ((np.zeros((5, 5, 2)), [[1, np.nan]], [[1, 1]]), "Received: fixed_landmarks with 1 that are NaN or infinite"),
        (
            (np.zeros((5, 5, 2)), [[1, 1], [1, 6]], [[1, 1], [1, 1]]),
            r"in the flow's grid \(5, 5\).* 1 of 2, the first at \[1.0, 6.0\]",
        ),
    ],
)
def test_landmarks_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        target_registration_error(*arguments)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), 2.0, (1.0, np.nan)])
def test_a_spacing_that_is_none_is_refused(spacing):
    with pytest.raises(ValueError, match="expects a spacing of 2 positive numbers in mm. Received: spacing="):
        target_registration_error(np.zeros((5, 5, 2)), [[1, 1]], [[1, 1]], spacing=spacing)
