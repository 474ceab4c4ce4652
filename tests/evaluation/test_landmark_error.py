"""The target registration error of landmarks, of known maps and of pairs with and without landmarks."""

import deepsim_tf as ds  # isort: skip
import nibabel
import numpy as np
import pandas
import pytest
from PIL import Image

from deepsim_tf.evaluation.compare import print_table
from deepsim_tf.evaluation.measure import summarise
from deepsim_tf.inference import warp_image
from deepsim_tf.registration.prediction import Prediction
from deepsim_tf.registration.solver import Solver


@pytest.fixture(scope="module")
def images():
    return ds.data.synthetic("platelet", "test", size=(32, 32), count=2, noise=0.02)


class Affine(Solver):
    """Answers every pair with one affine map: p goes to matrix p + offset in the moving image."""

    def __init__(self, shape, matrix, offset):
        points = np.moveaxis(np.indices(shape), 0, -1)  # (*shape, ndim)
        self.shape, self.flow = shape, (points @ np.transpose(matrix) + offset - points).astype("float32")

    def solve(self, pair):
        return Prediction(flow=self.flow[None])


def own_volumes(folder, points, spacing=(3.0, 1.0, 0.5)):
    """own.csv of a pair of volumes (10, 12, 14) with anisotropic voxels, no labels, and one landmark file an image."""
    for name, landmarks in points.items():
        image = np.random.default_rng(len(name)).random((10, 12, 14)).astype("float32")
        nibabel.save(nibabel.Nifti1Image(image, np.diag([*spacing, 1.0])), folder / f"{name}.nii.gz")
        np.savetxt(folder / f"{name}.csv", landmarks, delimiter=",")
    (folder / "own.csv").write_text(
        "moving,fixed,moving_landmarks,fixed_landmarks\nmoving.nii.gz,fixed.nii.gz,moving.csv,fixed.csv\n",
    )
    return ds.data.from_csv(folder / "own.csv")


FIXED = np.array([[2.5, 3.25, 4.0], [5.0, 6.0, 7.5], [4.0, 8.0, 6.0]])
MATRIX = np.array([[1.1, 0.1, 0.0], [0.0, 0.9, 0.1], [-0.1, 0.0, 1.2]])


@pytest.mark.parametrize(("matrix", "offset"), [(np.eye(3), (1.0, -2.0, 1.5)), (MATRIX, (0.5, 1.0, -1.0))])
def test_a_known_map_leaves_no_error_and_no_registration_leaves_the_distance_in_millimetres(tmp_path, matrix, offset):
    moving = np.array(
        [matrix @ p + offset for p in FIXED]
    )  # moving o flow = fixed: what is at p in fixed is at p + flow(p) in moving
    images = own_volumes(tmp_path, {"moving": moving, "fixed": FIXED})
    distances = [sum((mm * d) ** 2 for mm, d in zip((3.0, 1.0, 0.5), q - p)) ** 0.5 for p, q in zip(FIXED, moving)]
    identity, registered = (
        ds.evaluate(model, images, verbose=0) for model in (None, Affine(images.shape, matrix, offset))
    )
    np.testing.assert_allclose(identity["tre"][0], np.mean(distances), rtol=1e-6)
    np.testing.assert_allclose(registered["tre"][0], 0, atol=1e-5)
    assert np.isnan(identity["dice"][0])  # there are no labels


def test_landmarks_in_the_other_direction_do_not_fit(tmp_path):
    # the same files, moving for fixed: the flow then goes the wrong way, and doubles the distance of a translation
    offset = np.array([1.0, -2.0, 1.5])
    images = own_volumes(tmp_path, {"moving": FIXED, "fixed": FIXED + offset})
    table = ds.evaluate(Affine(images.shape, np.eye(3), offset), images, verbose=0)
    np.testing.assert_allclose(table["tre"][0], 2 * np.hypot(np.hypot(3.0 * 1.0, 1.0 * 2.0), 0.5 * 1.5), rtol=1e-6)


def test_the_error_is_0_where_warping_brings_the_structure_onto_its_landmark(tmp_path):
    # independent of any formula: one bright voxel in each image is the structure, and the warped image shows where the
    # flow puts it
    moving, fixed = np.zeros((2, 12, 16), np.uint8)
    moving[7, 5], fixed[4, 9] = 255, 255
    for name, image in (("moving", moving), ("fixed", fixed)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.csv").write_text("row,column\n{},{}\n".format(*np.argwhere(image)[0]))
    (tmp_path / "own.csv").write_text(
        "moving,fixed,moving_landmarks,fixed_landmarks\nmoving.png,fixed.png,moving.csv,fixed.csv\n"
    )
    images = ds.data.from_csv(tmp_path / "own.csv")
    right, wrong = (Affine((12, 16), np.eye(2), sign * np.array([3.0, -4.0])) for sign in (1, -1))
    np.testing.assert_array_equal(warp_image(images[0][0], right.flow), images.pair(0)[1])
    assert [ds.evaluate(model, images, verbose=0)["tre"][0] for model in (right, None, wrong)] == [0, 5, 10]


def test_the_error_comes_quickly_too_and_only_where_there_are_landmarks(tmp_path, images):
    landmarked = own_volumes(tmp_path, {"moving": FIXED, "fixed": FIXED})
    quick = ds.evaluate(None, landmarked, quick=True, verbose=0)
    assert list(quick.columns) == ["moving", "fixed", "dice", "accuracy", "tre", "folds", "sd_log_jacobian", "seconds"]
    assert list(summarise(quick.assign(method="identity"))["tre"]) == [0]
    assert "tre" not in ds.evaluate(None, images, verbose=0)


def test_pairs_of_one_set_may_have_landmarks_and_lack_them():
    image = np.linspace(0, 1, 32 * 32, dtype="float32").reshape(32, 32, 1)
    images = ds.data.ImageSet(
        lambda i: (image, None),
        ["a", "b"],
        name="some",
        split="test",
        classes=None,
        shape=(32, 32),
        spacing=(2, 2),
        intensity="none",
        pairs=[(0, 1), (1, 0)],
        landmarks=lambda k: ([[1, 4], [9, 4]], [[1, 7], [9, 4]], (2, 2)) if k else None,
    )
    np.testing.assert_array_equal(
        ds.evaluate(None, images, verbose=0)["tre"], [np.nan, 3.0]
    )  # (2 mm * 3 voxels + 0) / 2


@pytest.mark.parametrize("tre", [None, 1.23456])
def test_the_printed_table_has_an_error_only_where_it_was_measured(tre, capsys):
    row = {
        "method": "NCC",
        "dice": np.nan,
        "folds": 0.0123,
        "sd_log_jacobian": 0.25,
        "hd95": 2.5,
        "seconds_per_step": np.nan,
    }
    print_table(pandas.DataFrame([row if tre is None else {**row, "tre": tre}]))
    heading, cells = [
        line.split() for line in capsys.readouterr().out.splitlines() if any(word in line for word in ("Dice", "NCC"))
    ]
    assert ("TRE" in heading) == (tre is not None)
    assert cells == ["NCC", "-", "2.50", *([] if tre is None else ["1.23"]), "1.230", "0.250", "-"]
