import numpy as np
import pytest

from deepsim_tf.metrics import read_landmarks, target_registration_error


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
        ((np.zeros((5, 5, 2)), [[1, 1, 1]], [[1, 1]]), r"expects landmarks \(N, 2\). Received: fixed_landmarks.shape=\(1, 3\)"),
        ((np.zeros((5, 5, 2)), [[1, 1], [2, 2]], [[1, 1]]), "as many fixed as moving landmarks. Received: 2 and 1"),
        ((np.zeros((5, 5, 2)), [[1, np.nan]], [[1, 1]]), "Received: fixed_landmarks with 1 that are NaN or infinite"),
        ((np.zeros((5, 5, 2)), [[1, 1], [1, 6]], [[1, 1], [1, 1]]), r"in the flow's grid \(5, 5\).* 1 of 2, the first at \[1.0, 6.0\]"),
    ],
)
def test_landmarks_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        target_registration_error(*arguments)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), 2.0, (1.0, np.nan)])
def test_a_spacing_that_is_none_is_refused(spacing):
    with pytest.raises(ValueError, match="expects a spacing of 2 positive numbers in mm. Received: spacing="):
        target_registration_error(np.zeros((5, 5, 2)), [[1, 1]], [[1, 1]], spacing=spacing)


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n4.5,5,6\n",
        "i,j,k\n1,2,3\n4.5,5,6\n",
        "\ufeffx, y, z\n 1, 2, 3\n 4.5, 5, 6\n\n",
        "number,z,y,x,name\n1,3,2,1,tip\n2,6,5,4.5,root\n",
    ],
)
def test_files_with_and_without_a_header_hold_the_same_landmarks(text, tmp_path):
    (tmp_path / "landmarks.csv").write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(read_landmarks(tmp_path / "landmarks.csv"), [[1, 2, 3], [4.5, 5, 6]])


def test_landmarks_that_numpy_writes_come_back(rng, tmp_path):
    points = rng.uniform(0, 100, (30, 2))
    np.savetxt(tmp_path / "landmarks.csv", points, delimiter=",")  # as Learn2Reg's files are read: np.loadtxt(path, delimiter=",")
    np.testing.assert_allclose(read_landmarks(tmp_path / "landmarks.csv"), points)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "rows of 2 or 3 voxel coordinates, separated by commas. Received: .* without any"),
        ("1\n2\n", "with 1 in the first row. Separate them by commas"),
        ("1,2,3,4\n", "with 4 in the first row"),
        ("1,2,3\n4,5\n", "Row 2 of .* has 2 cells, the first 3"),
        ("1,2,3\n4,five,6\n", "Row 2 of .* holds 'five'. Expected finite voxel coordinates"),
        ("i,j\n1,nan\n", "Row 2 of .* holds 'nan'"),
        ("x,y\n1,2\n", "some programs write as column, row. Name them row, column"),
        ("a,b,c\n1,2,3\n", "Expected a header with the columns i, j.* with a, b, c"),
        ("1;2;3\n", "separated by commas, or none. Received: .* with 1;2;3"),
        ("i,j\n", "holds a header and no landmarks"),
    ],
)
def test_files_that_hold_no_landmarks_are_refused(text, message, tmp_path):
    (tmp_path / "landmarks.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_landmarks(tmp_path / "landmarks.csv")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="No CSV file of landmarks at .*absent.csv"):
        read_landmarks(tmp_path / "absent.csv")
