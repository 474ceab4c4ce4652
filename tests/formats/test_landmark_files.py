"""Landmarks in CSV files. What becomes of them beside images is in test_landmarks_of_pairs.py."""

import numpy as np
import pytest

from deepsim_tf.metrics import read_landmarks


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
    np.savetxt(
        tmp_path / "landmarks.csv", points, delimiter=","
    )  # as Learn2Reg's files are read: np.loadtxt(path, delimiter=",")
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


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "landmarks.csv").write_bytes(b"\x89PNG\xff\x00\n")
    with pytest.raises(ValueError, match="Cannot read .*landmarks.csv: expected landmarks as a CSV file in UTF-8"):
        read_landmarks(tmp_path / "landmarks.csv")


def test_a_cell_beyond_all_measure_is_no_csv(tmp_path):
    (tmp_path / "landmarks.csv").write_text("1" * 200_000)
    with pytest.raises(ValueError, match="Cannot read .*landmarks.csv: .*field larger than field limit"):
        read_landmarks(tmp_path / "landmarks.csv")
