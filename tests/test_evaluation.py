"""Registering pairs on their own grid, and measuring a model on an ImageSet."""

import deepsim_tf as ds  # isort: skip
import nibabel
import numpy as np
import pandas
import pytest
from PIL import Image

from deepsim_tf.comparison import print_table
from deepsim_tf.data.grids import flow_on_images
from deepsim_tf.evaluation import summarise
from deepsim_tf.inference import warp_image, warp_labels


@pytest.fixture(scope="module")
def images():
    return ds.data.synthetic("platelet", "test", size=(32, 32), count=2, noise=0.02)


def constant(shape, flow, **arguments):
    """A registration model that answers every pair with one and the same displacement."""
    model = ds.models.registration_model(shape, features=(2,), **arguments)
    kernel, bias = next(layer for layer in model.network.layers if layer.name.endswith("_flow")).weights
    kernel.assign(np.zeros(kernel.shape))
    bias.assign(flow)
    return model


def dice_by_hand(a, b, classes):
    pairs = [(a == c, b == c) for c in range(classes)]
    return [2 * (p & q).sum() / (p.sum() + q.sum()) for p, q in pairs]


def test_no_model_measures_identity(images):
    table = ds.evaluate(None, images, verbose=0)
    moving_labels, fixed_labels = images.pair(1)[2:]
    expected = dice_by_hand(moving_labels, fixed_labels, 3)
    np.testing.assert_allclose(table.loc[1, ["dice_0", "dice_1", "dice_2"]].astype(float), expected)
    np.testing.assert_allclose(table.loc[1, "dice"], np.mean(expected))
    assert 0.3 < np.mean(expected) < 1
    assert (table[["folds", "sd_log_jacobian", "seconds"]] == 0).all(axis=None)


def test_a_model_of_zero_flow_scores_as_identity_in_a_row_a_pair(images):
    table = ds.evaluate(constant((32, 32), (0, 0)), images, verbose=0)
    columns = ["moving", "fixed", "dice", "dice_0", "dice_1", "dice_2", "accuracy", "hd95", "assd"]
    columns += ["folds", "sd_log_jacobian", "ndv", "seconds"]
    assert list(table.columns) == columns
    assert table[["moving", "fixed"]].to_numpy().tolist() == [["0000/moving", "0000/fixed"], ["0001/moving", "0001/fixed"]]
    assert (table["seconds"] > 0).all()
    measured = columns[2:-1]
    pandas.testing.assert_frame_equal(table[measured], ds.evaluate(None, images, verbose=0)[measured])


def test_a_shift_by_one_voxel_scores_as_labels_shifted_by_hand(images):
    table = ds.evaluate(constant((32, 32), (1, 0)), images, verbose=0)
    moving_labels, fixed_labels = images.pair(0)[2:]
    shifted = moving_labels[[*range(1, 32), 31]]  # warped[p] = moving[p + 1], and the border's own value beyond it
    np.testing.assert_allclose(table["dice"][0], np.mean(dice_by_hand(shifted, fixed_labels, 3)))


def test_images_without_labels_have_no_dice():
    image = np.linspace(0, 1, 32 * 32, dtype="float32").reshape(32, 32, 1)
    images = ds.data.ImageSet(
        lambda i: (image, None),
        ["a", "b"],
        name="bare",
        split="test",
        classes=None,
        shape=(32, 32),
        spacing=(1, 1),
        intensity="none",
        pairs=[(0, 1)],
    )
    table = ds.evaluate(None, images, verbose=0)
    assert np.isnan(table["dice"][0]) and np.isnan(table["hd95"][0]) and table["folds"][0] == 0


def test_an_image_set_without_pairs_is_refused():
    image = np.zeros((32, 32, 1), "float32")
    images = ds.data.ImageSet(
        lambda i: (image, None), ["a"], name="one", split="test", classes=None, shape=(32, 32), spacing=(1, 1), intensity="none", pairs=[]
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"ImageSet\('one', 'test': 1 images \(32, 32\), 0 pairs\) has no pairs to evaluate"):
        ds.evaluate(None, images)


class Affine:
    """Stands for a registration model that answers every pair with one affine map: p goes to matrix p + offset in the moving image."""

    similarity, image_fit = None, None

    def __init__(self, shape, matrix, offset):
        points = np.moveaxis(np.indices(shape), 0, -1)  # (*shape, ndim)
        self.shape, self.flow = shape, (points @ np.transpose(matrix) + offset - points).astype("float32")

    def predict_on_batch(self, pair):
        return {"flow": self.flow[None]}


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
    moving = np.array([matrix @ p + offset for p in FIXED])  # moving o flow = fixed: what is at p in fixed is at p + flow(p) in moving
    images = own_volumes(tmp_path, {"moving": moving, "fixed": FIXED})
    distances = [sum((mm * d) ** 2 for mm, d in zip((3.0, 1.0, 0.5), q - p)) ** 0.5 for p, q in zip(FIXED, moving)]
    identity, registered = (ds.evaluate(model, images, verbose=0) for model in (None, Affine(images.shape, matrix, offset)))
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
    # independent of any formula: one bright voxel in each image is the structure, and the warped image shows where the flow puts it
    moving, fixed = np.zeros((2, 12, 16), np.uint8)
    moving[7, 5], fixed[4, 9] = 255, 255
    for name, image in (("moving", moving), ("fixed", fixed)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.csv").write_text("row,column\n{},{}\n".format(*np.argwhere(image)[0]))
    (tmp_path / "own.csv").write_text("moving,fixed,moving_landmarks,fixed_landmarks\nmoving.png,fixed.png,moving.csv,fixed.csv\n")
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
        lambda i: (image, None), ["a", "b"], name="some", split="test", classes=None, shape=(32, 32), spacing=(2, 2), intensity="none",
        pairs=[(0, 1), (1, 0)], landmarks=lambda k: ([[1, 4], [9, 4]], [[1, 7], [9, 4]], (2, 2)) if k else None,
    )  # fmt: skip
    np.testing.assert_array_equal(ds.evaluate(None, images, verbose=0)["tre"], [np.nan, 3.0])  # (2 mm * 3 voxels + 0) / 2


@pytest.mark.parametrize("tre", [None, 1.23456])
def test_the_printed_table_has_an_error_only_where_it_was_measured(tre, capsys):
    row = {"method": "NCC", "dice": np.nan, "folds": 0.0123, "sd_log_jacobian": 0.25, "hd95": 2.5, "seconds_per_step": np.nan}
    print_table(pandas.DataFrame([row if tre is None else {**row, "tre": tre}]))
    heading, cells = [line.split() for line in capsys.readouterr().out.splitlines() if any(word in line for word in ("Dice", "NCC"))]
    assert ("TRE" in heading) == (tre is not None)
    assert cells == ["NCC", "-", *([] if tre is None else ["1.235"]), "1.23", "0.250", "2.5000", "-"]


def test_true_flows_beat_identity_through_the_same_functions(images):
    """Independent of any network: warping by the flow that made the pair must raise Dice, and lower the difference."""
    for k in range(2):
        moving, fixed, moving_labels, fixed_labels = images.pair(k)
        flow = images.true_flow(k)
        before = np.nanmean(ds.metrics.dice(fixed_labels, moving_labels, 3))
        after = np.nanmean(ds.metrics.dice(fixed_labels, warp_labels(moving_labels, flow), 3))
        assert after > before + 0.03
        assert np.mean((warp_image(moving, flow) - fixed) ** 2) < np.mean((moving - fixed) ** 2)


def test_a_half_resolution_shift_by_one_is_a_shift_by_two_natively(images, texture):
    half = constant((16, 16), (1, 0))
    moving = texture((32, 32))[0]
    result = ds.register(half, moving, moving)
    np.testing.assert_allclose(result["flow"], np.broadcast_to([2.0, 0.0], (32, 32, 2)), atol=1e-6)
    np.testing.assert_allclose(result["warped"][:-2], moving[2:], atol=1e-6)
    # and `evaluate` measures at the native grid: the same numbers as a native model of that shift.
    measured = ["dice", "hd95", "folds", "sd_log_jacobian"]
    native = ds.evaluate(constant((32, 32), (2, 0)), images, verbose=0)
    pandas.testing.assert_frame_equal(ds.evaluate(half, images, verbose=0)[measured], native[measured])


def test_a_flow_on_a_finer_grid_is_the_same_map_about_half_pixel_centres():
    def flow_at(y, x):  # a smooth map of the unit square, in its own units
        return np.stack(np.broadcast_arrays(0.05 * np.sin(3 * y), 0.04 * np.cos(2 * x + y)), -1)

    def on_grid(n):
        centres = (np.arange(n) + 0.5) / n
        return flow_at(centres[:, None], centres[None]) * n  # voxels of this grid

    fine = flow_on_images(on_grid(32).astype("float32"), (64, 64), (64, 64), "resample")
    inner = (slice(2, -2), slice(2, -2))  # beyond the outermost coarse centres there is nothing to interpolate
    np.testing.assert_allclose(fine[inner], on_grid(64)[inner], atol=0.003)
    # Grids aligned at their corners instead would be off by up to half a coarse voxel: far beyond the tolerance.
    corners = np.linspace(0.5 / 32, 1 - 0.5 / 32, 64)
    assert np.abs(flow_at(corners[:, None], corners[None]) * 64 - on_grid(64))[inner].max() > 0.02


def test_factors_differ_between_axes():
    flow = np.ones((8, 10, 2), "float32")
    scaled = flow_on_images(flow, (24, 20), (24, 20), "resample")
    np.testing.assert_allclose(scaled, np.broadcast_to([3.0, 2.0], (24, 20, 2)), rtol=1e-6)
    assert flow_on_images(flow, (8, 10), (8, 10), "resample") is flow


def test_register_answers_on_the_images_own_grid(registration, extractor, texture):
    model = registration(ds.losses.DeepSim(extractor))  # for images of 16 x 20
    moving, fixed = texture((27, 33), count=2)
    result = ds.register(model, moving, fixed[..., 0])
    assert {name: value.shape for name, value in result.items()} == {
        "warped": (27, 33, 1),
        "flow": (27, 33, 2),
        "similarity_map": (27, 33),
    }
    np.testing.assert_array_equal(result["warped"], warp_image(moving, result["flow"]))
    expected = model.similarity.similarity_map(fixed[None], result["warped"][None])[0]
    np.testing.assert_allclose(result["similarity_map"], expected, atol=1e-6)
    assert -1 - 1e-5 <= result["similarity_map"].min() < result["similarity_map"].max() <= 1 + 1e-5


def test_a_model_of_another_loss_has_no_similarity_map(texture):
    moving, fixed = texture((16, 16), count=2)
    assert ds.register(constant((16, 16), (0, 0)), moving, fixed)["similarity_map"] is None


def test_register_takes_the_path_of_a_model(tmp_path, texture):
    moving, fixed = texture((16, 16), count=2)
    model = constant((16, 16), (0, 1))
    model.save(tmp_path / "model.keras")
    for path in (tmp_path, str(tmp_path / "model.keras")):  # a run folder, or the file
        np.testing.assert_allclose(ds.register(path, moving, fixed)["flow"], np.broadcast_to([0.0, 1.0], (16, 16, 2)))


def test_register_applies_the_models_intensity_rule_to_files(tmp_path):
    raw = np.random.default_rng(0).integers(0, 256, (2, 16, 16)).astype("uint8")
    paths = [tmp_path / "moving.tif", tmp_path / "fixed.png"]
    for path, image in zip(paths, raw, strict=True):
        Image.fromarray(image).save(path)
    model = constant((16, 16), (0, 0), intensity="fixed:0:256")
    np.testing.assert_allclose(ds.register(model, *paths)["warped"][..., 0], raw[0] / 256, rtol=1e-6)
    np.testing.assert_allclose(ds.register(model, *map(str, paths))["warped"][..., 0], raw[0] / 256, rtol=1e-6)


def test_a_summary_has_the_means_of_each_method_in_order_of_appearance():
    pairs = pandas.DataFrame(
        {
            "method": ["identity", "identity", "DeepSim", "DeepSim"],
            "moving": ["a", "b", "a", "b"],
            "fixed": ["b", "c", "b", "c"],
            "dice": [0.5, 0.7, 0.8, 0.9],
            "hd95": [4.0, 2.0, np.nan, 1.0],
            "folds": [0.0, 0.0, 0.01, 0.03],
            "seconds": [0.0, 0.0, 0.1, 0.1],
        }
    )
    summary = summarise(pairs, {"DeepSim": 0.25})
    expected = pandas.DataFrame(
        {
            "method": ["identity", "DeepSim"],
            "pairs": [2, 2],
            "dice": [0.6, 0.85],
            "hd95": [3.0, 1.0],
            "folds": [0.0, 0.02],
            "seconds_per_step": [np.nan, 0.25],
        }
    )
    pandas.testing.assert_frame_equal(summary, expected)
