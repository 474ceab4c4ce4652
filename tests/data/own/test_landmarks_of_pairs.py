"""Landmarks of the user's own images.

In ds.data.from_csv and `deepsim check`. Their error is measured in test_landmark_error.py.
"""

import numpy as np
import pytest
from writers import blob, noise, write_nifti, write_pages

from deepsim_tf.cli import main
from deepsim_tf.data import from_csv

SHAPE = (8, 9)


def write_points(path, points):
    np.savetxt(path, points, delimiter=",")
    return path


def spot(shape, at):
    """An image that is bright at one voxel."""
    image = np.zeros(shape, np.uint8)
    image[at] = 200
    return image


def brightest(image):
    return np.unravel_index(np.argmax(image[..., 0]), image.shape[:-1])


@pytest.fixture
def folder(tmp_path):
    """Images a, b, c (8, 9) with two landmarks each: of a at (1, 1) and (2.5, 3), of b one row below, of c two."""
    for number, name in enumerate("abc"):
        write_pages(tmp_path / f"{name}.tif", noise(SHAPE, seed=number))
        write_points(tmp_path / f"{name}.csv", np.add([[1, 1], [2.5, 3]], [number, 0]))
    return tmp_path


def table(folder, text):
    (folder / "own.csv").write_text(text)
    return folder / "own.csv"


def rows_of(images, k):
    """The first axis of pair k's landmarks: moving, fixed."""
    return [points[:, 0].tolist() for points in images.landmarks(k)[:2]]


def test_pairs_have_the_landmarks_of_their_row(folder):
    rows = "b.tif,a.tif,b.csv,a.csv,train\na.tif,c.tif,a.csv,c.csv,val\nb.tif,c.tif,b.csv,c.csv,val\n"
    images = from_csv(table(folder, "moving,fixed,moving_landmarks,fixed_landmarks,split\n" + rows), "val")
    assert images.pairs() == [(0, 1), (2, 1)] and images.names == ["a.tif", "c.tif", "b.tif"]
    assert [rows_of(images, k) for k in range(2)] == [[[1, 2.5], [3, 4.5]], [[2, 3.5], [3, 4.5]]]
    assert rows_of(images, -1) == rows_of(images, 1) and images.landmarks(0)[2] == (1, 1)


def test_one_image_may_have_other_landmarks_with_another_partner(folder):
    write_points(folder / "a2.csv", [[7, 7]]), write_points(folder / "c2.csv", [[6, 6]])
    text = "moving,fixed,moving_landmarks,fixed_landmarks\na.tif,b.tif,a.csv,b.csv\na.tif,c.tif,a2.csv,c2.csv\n"
    images = from_csv(table(folder, text))
    assert [rows_of(images, k) for k in range(2)] == [[[1, 2.5], [2, 3.5]], [[7], [6]]]


def test_images_of_a_list_bring_their_landmarks_into_every_pair(folder):
    path = table(folder, "image,landmarks,split\na.tif,a.csv,val\nb.tif,b.csv,train\nc.tif,c.csv,val\n")
    images = from_csv(path, "val")
    assert images.pairs() == [(0, 1), (1, 0)]
    assert [rows_of(images, k) for k in range(2)] == [[[1, 2.5], [3, 4.5]], [[3, 4.5], [1, 2.5]]]
    everything = from_csv(path)
    assert rows_of(everything, everything.pairs().index((1, 2))) == [[2, 3.5], [3, 4.5]]


def test_an_atlas_has_landmarks_too(folder):
    rows = "b.tif,a.tif,b.csv,a.csv,train\nb.tif,a.tif,b.csv,a.csv,val\nc.tif,a.tif,c.csv,a.csv,val\n"
    images = from_csv(table(folder, "moving,fixed,moving_landmarks,fixed_landmarks,split\n" + rows))
    assert images.pairs() == [(0, None), (1, None)]  # b is in two splits, and in the set once
    assert [rows_of(images, k) for k in range(2)] == [[[2, 3.5], [1, 2.5]], [[3, 4.5], [1, 2.5]]]


def test_without_columns_there_are_no_landmarks(folder):
    assert from_csv(table(folder, "image\na.tif\nb.tif\n")).landmarks(0) is None


def test_labels_and_landmarks_go_together(folder):
    for name in "ab":
        write_pages(folder / f"l{name}.tif", blob(SHAPE, 3))
    images = from_csv(table(folder, "image,labels,landmarks\na.tif,la.tif,a.csv\nb.tif,lb.tif,b.csv\n"))
    assert images.classes == 3 and rows_of(images, 0) == [[1, 2.5], [2, 3.5]]


@pytest.mark.parametrize("shape", [None, (6, 6), (7, 8), (12, 15)])
def test_padding_and_cropping_move_landmarks_with_the_image(tmp_path, shape):
    # the pixel's own path through the fit says where the landmark must be
    for name, size, at in (("a", (9, 8), (4, 3)), ("b", (7, 12), (3, 7))):
        write_pages(tmp_path / f"{name}.png", spot(size, at))
        write_points(tmp_path / f"{name}.csv", [at])
    images = from_csv(table(tmp_path, "image,landmarks\na.png,a.csv\nb.png,b.csv\n"), fit="pad", shape=shape)
    moving, fixed, spacing = images.landmarks(0)
    assert tuple(moving[0]) == brightest(images[0][0]) and tuple(fixed[0]) == brightest(images[1][0])
    assert spacing == (1, 1)


def test_resampling_moves_landmarks_with_the_image(tmp_path):
    image = np.zeros((8, 12), np.uint8)
    image[2:4, 9:12] = 200  # a block of 2 x 3 voxels with its centre at (2.5, 10) becomes one voxel
    write_pages(tmp_path / "a.png", image)
    write_pages(tmp_path / "b.png", spot((4, 4), (3, 0)))
    write_points(tmp_path / "a.csv", [(2.5, 10), (-0.5, -0.5), (7.5, 11.5)])
    write_points(tmp_path / "b.csv", [(3, 0), (-0.5, -0.5), (3.5, 3.5)])
    images = from_csv(table(tmp_path, "image,landmarks\na.png,a.csv\nb.png,b.csv\n"), fit="resample", shape=(4, 4))
    moving, fixed, _ = images.landmarks(0)
    assert brightest(images[0][0]) == (1, 3)
    np.testing.assert_allclose(moving, [(1, 3), (-0.5, -0.5), (3.5, 3.5)])
    np.testing.assert_allclose(fixed, [(3, 0), (-0.5, -0.5), (3.5, 3.5)])


def test_the_border_of_an_image_stays_inside_after_resampling(tmp_path):
    # 2.5 * (7 / 3) + 2 / 3 is 6.500000000000001 in floating point, and 6.5 the last place inside
    write_pages(tmp_path / "a.png", noise((3, 3)))
    write_points(tmp_path / "a.csv", [(2.5, 2.5)])
    write_pages(tmp_path / "b.png", noise((3, 3), seed=1))
    images = from_csv(table(tmp_path, "image,landmarks\na.png,a.csv\nb.png,a.csv\n"), fit="resample", shape=(7, 7))
    assert images.landmarks(0)[0].tolist() == [[6.5, 6.5]]


def test_the_spacing_is_that_of_the_moving_image_on_the_grid(tmp_path):
    # 8 voxels of 1 mm and 4 of 5 mm become 4 of 2 mm and 4 of 5 mm
    for name, side, spacing in (("a", 8, 1), ("b", 4, 5)):
        write_nifti(tmp_path / f"{name}.nii", noise((side, side, 4)), spacing=(spacing, spacing, 3))
        write_points(tmp_path / f"{name}.csv", [[1, 1, 1]])
    images = from_csv(table(tmp_path, "image,landmarks\na.nii,a.csv\nb.nii,b.csv\n"), fit="resample", shape=(4, 4, 4))
    assert images.pairs() == [(0, 1), (1, 0)]
    assert images.landmarks(0)[2] == (2, 2, 3) and images.landmarks(1)[2] == (5, 5, 3)


def test_a_coarser_set_leaves_landmarks_out(folder):
    images = from_csv(table(folder, "image,landmarks\na.tif,a.csv\nb.tif,b.csv\n"))
    assert images.downsampled(2).landmarks(0) is None and images.landmarks(0) is not None


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("1,1,1\n", r"b.csv holds landmarks of 3 coordinates, .*b.tif has 2 axes. Expected one coordinate an axis"),
        (
            "1,1\n8,8\n",
            r"b.csv has 1 of 2 landmarks outside .*b.tif of shape \(8, 9\), the first in row 2. Expected voxels from 0"
            r" .* not mm",
        ),
        ("-0.6,1\n8,9\n", r"b.csv has 2 of 2 landmarks outside .*b.tif of shape \(8, 9\), the first in row 1"),
        ("1,1\n", "a.csv holds 2 landmarks, .*b.csv 1. Expected as many in "),
        ("1,1\n1,1\n1,1\n", "a.csv holds 2 landmarks, .*b.csv 3. Expected as many in "),
        ("1,one\n", "Row 1 of .*b.csv holds 'one'. Expected finite voxel coordinates"),
        ("", "Received: .*b.csv without any"),
    ],
)
@pytest.mark.parametrize("header", ["image,landmarks", "moving,moving_landmarks,fixed,fixed_landmarks"])
def test_landmarks_that_do_not_fit_their_image_are_refused(folder, header, points, message):
    (folder / "b.csv").write_text(points)
    path = table(folder, header + "\na.tif,a.csv" + ("\n" if header.startswith("image") else ",") + "b.tif,b.csv\n")
    with pytest.raises(ValueError, match=message):
        from_csv(path)


def test_landmarks_that_the_shape_crops_are_refused(folder):
    (folder / "a.csv").write_text("3,3\n7,3\n")
    path = table(folder, "image,landmarks\na.tif,a.csv\nb.tif,b.csv\n")
    with pytest.raises(
        ValueError,
        match=r"1 of 2 landmarks outside what shape=\(4, 9\) keeps of .*a.tif, the first in row 2. Expected a larger",
    ):
        from_csv(path, fit="pad", shape=(4, 9))


def test_two_landmark_files_of_an_image_in_a_list_are_refused(folder):
    path = table(folder, "image,landmarks,split\na.tif,a.csv,train\na.tif,b.csv,val\nb.tif,b.csv,val\n")
    with pytest.raises(
        ValueError,
        match="a.tif is listed with the landmarks .*a.csv and .*b.csv. Expected one landmark file for an image",
    ):
        from_csv(path, "val")


def test_slices_have_no_landmarks(folder):
    path = table(folder, "image,landmarks\na.tif,a.csv\nb.tif,b.csv\n")
    with pytest.raises(
        ValueError,
        match=r"own.csv lists landmarks, which belong to whole images. Leave out slices=True \(--slices\), or",
    ):
        from_csv(path, slices=True)


def test_the_check_lists_every_broken_landmark_file_at_once(folder, capsys):
    path = table(
        folder, "image,landmarks,split\na.tif,a.csv,train\nb.tif,b.csv,train\nc.tif,c.csv,val\na.tif,missing.csv,val\n"
    )
    (folder / "b.csv").write_text("1,1\n99,1\n")
    (folder / "c.csv").write_text("1;1\n")
    assert main(["check", "csv", str(path), "--verbose", "0"]) == 2
    lines = "\n".join(capsys.readouterr())
    for problem in ("line 5: no file", "b.csv has 1 of 2 landmarks outside", "c.csv with 1;1"):
        assert lines.count(problem) == 1


def test_the_check_says_that_there_are_landmarks(folder, capsys):
    path = table(folder, "image,landmarks\na.tif,a.csv\nb.tif,b.csv\n")
    assert main(["check", "csv", str(path), "--verbose", "0"]) == 0
    assert "all: 2 images of 8 x 9, 2 pairs, no labels, landmarks, intensity minmax" in capsys.readouterr().out
