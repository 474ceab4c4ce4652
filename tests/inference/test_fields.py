"""Fields in the world: their files, and applying, composing and inverting them, against what is known by hand."""

import nibabel
import numpy as np
import pytest
from scenes import affine, save_volume, world

from deepsim_tf import inference
from deepsim_tf.grids.world import pixel_affine
from deepsim_tf.inference import Field

SHAPE = (12, 26, 24)
VOXELS = affine(SHAPE, (4, 1.5, 2), "SLA", (10, -5, 15), centre=(1, 2, -3))
MATRIX = np.array([[0.05, 0.02, 0.0], [0.0, -0.1, 0.03], [0.04, 0.0, 0.08]])


def linear_field(shape=SHAPE, voxels=VOXELS, matrix=MATRIX, offset=(1.0, -2.0, 0.5)):
    """x -> x + matrix x + offset."""
    return Field((world(shape, voxels) @ np.transpose(matrix) + offset).astype("float32"), voxels)


def interior(shape, margin=2):
    return tuple(slice(margin, n - margin) for n in shape)


def test_the_determinant_is_that_of_the_map_whatever_the_voxels():
    np.testing.assert_allclose(linear_field().determinant(), np.linalg.det(np.eye(3) + MATRIX), atol=1e-4)
    long = (80, 5, 4)  # more than one slab
    np.testing.assert_allclose(
        linear_field(long, affine(long)).determinant(), np.linalg.det(np.eye(3) + MATRIX), atol=1e-4
    )


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("unit", ["mm", "pixels"])
def test_a_field_comes_back_from_its_file(ndim, unit, rng, tmp_path):
    shape = SHAPE[:ndim]
    voxels = (
        pixel_affine(ndim)
        if unit == "pixels"
        else VOXELS
        if ndim == 3
        else np.array([[0, -2.0, 5], [1.5, 0, -4], [0, 0, 1]])
    )
    field = Field(rng.normal(size=(*shape, ndim)).astype("float32"), voxels, unit)
    inference.write_field(field, tmp_path / "flow.nii.gz")
    found = inference.read_field(tmp_path / "flow.nii.gz")
    np.testing.assert_array_equal(found.vectors, field.vectors)
    np.testing.assert_allclose(found.affine, field.affine, atol=1e-5)
    assert found.unit == unit


def test_files_that_are_no_displacement_fields_are_refused(tmp_path):
    (tmp_path / "garbage.nii.gz").write_bytes(b"garbage")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), "float32"), np.eye(4)), tmp_path / "image.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 1, 3), "float32"), np.eye(4)), tmp_path / "no_intent.nii.gz")
    image = nibabel.Nifti1Image(np.full((4, 4, 4, 1, 3), np.nan, "float32"), np.eye(4))
    image.header.set_intent(1007)
    nibabel.save(image, tmp_path / "nan.nii.gz")
    for name, match in [
        ("none", "No file"),
        ("garbage", "Cannot read"),
        ("image", "has shape .4, 4, 4. and intent 0"),
        ("no_intent", "intent 0. Expected a NIfTI displacement field: intent 1007"),
        ("nan", "holds NaN"),
    ]:
        with pytest.raises(ValueError, match=match):
            inference.read_field(tmp_path / f"{name}.nii.gz")


def test_composing_two_linear_maps_is_their_product():
    first, second = (
        linear_field((40, 40, 40), affine((40, 40, 40), (3, 3, 3))),
        linear_field(matrix=MATRIX.T, offset=(0.0, 1.0, -1.0)),
    )
    found = inference.compose(first, second)
    points = world(SHAPE, VOXELS)
    between = points + points @ MATRIX + (0.0, 1.0, -1.0)  # second, then first
    expected = between + between @ MATRIX.T + (1.0, -2.0, 0.5)
    np.testing.assert_allclose(points + found.vectors, expected, atol=1e-3)
    assert found.shape == SHAPE


def test_warping_by_two_fields_is_warping_by_their_composition(tmp_path):
    shape = (40, 40, 40)
    image = nibabel.load(save_volume(tmp_path / "a.nii.gz", shape, affine(shape, (2, 2, 2))))
    array, voxels = image.get_fdata(), image.affine
    first, second = linear_field(shape, voxels), linear_field(shape, voxels, MATRIX.T, (0.0, 1.0, -1.0))
    twice = inference.warp_array(inference.warp_array(array, voxels, first), voxels, second)
    once = inference.warp_array(array, voxels, inference.compose(first, second))
    inner = interior(shape, 6)
    assert np.abs(once - array)[inner].mean() > 0.03 * np.ptp(array)
    assert np.abs(once - twice)[inner].mean() < 0.005 * np.ptp(array)  # the second interpolation


def test_the_inverse_of_a_linear_map_is_the_inverse_matrix():
    shape = (40, 40, 40)
    field = linear_field(shape, affine(shape, (3, 3, 3)))
    inverse, residual = inference.invert(field, shape=SHAPE, affine=VOXELS)
    points = world(SHAPE, VOXELS)
    expected = (points - (1.0, -2.0, 0.5)) @ np.linalg.inv(np.eye(3) + MATRIX).T
    np.testing.assert_allclose(points + inverse.vectors, expected, atol=5e-3)
    report = inference.inverse_report(field, residual)
    assert (
        report.failed == report.folds == 0
        and report.largest < 0.03
        and str(report).endswith("mm. Converged everywhere.")
    )


def test_a_smooth_steep_field_and_its_inverse_cancel(rng):
    rows, columns = np.indices((40, 44))
    flow = np.stack([3 * np.sin(columns / 6), 2.5 * np.cos(rows / 5)], axis=-1)  # derivatives up to 0.5: no folds
    flow *= (np.sin(np.pi * rows / 39) * np.sin(np.pi * columns / 43))[..., None]
    field = Field((flow @ pixel_affine(2)[:2, :2].T).astype("float32"), pixel_affine(2), "pixels")
    inverse, residual = inference.invert(field)
    assert inference.inverse_report(field, residual).failed == 0
    for both in (inference.compose(field, inverse), inference.compose(inverse, field)):
        assert np.abs(both.vectors[interior((40, 44))]).max() < 0.15 < 2 < np.abs(field.vectors).max()


def test_where_a_field_folds_the_inversion_says_so():
    x = np.arange(40.0)
    flow = np.zeros((40, 12, 2))
    flow[..., 0] = np.where(np.abs(x - 20) < 5, -2.0 * (x - 20), 0)[:, None]  # turned over in the middle
    field = Field((flow @ pixel_affine(2)[:2, :2].T).astype("float32"), pixel_affine(2), "pixels")
    _, residual = inference.invert(field)
    report = inference.inverse_report(field, residual)
    assert report.folds > 0.1 and 0 < report.failed < 0.5 and report.largest > 0.01
    assert "Not converged at" in str(report) and "folds at" in str(report) and "has no inverse there" in str(report)


def test_warping_keeps_labels_and_their_dtype(rng):
    labels = rng.integers(0, 2000, SHAPE).astype("uint16")
    shift = Field(np.tile(VOXELS[:3, 1], (*SHAPE, 1)).astype("float32"), VOXELS)  # one voxel along the second axis
    warped = inference.warp_array(labels, VOXELS, shift, labels=True)
    assert warped.dtype == np.uint16
    np.testing.assert_array_equal(warped[:, :-1], labels[:, 1:])
    np.testing.assert_array_equal(warped[:, -1], labels[:, -1])  # the border continues


@pytest.mark.parametrize("labels", [False, True])
def test_every_channel_is_warped_by_the_one_flow(labels, rng):
    image = rng.integers(0, 200, (*SHAPE, 3)).astype("uint8")
    field = linear_field()
    warped = inference.warp_array(image, VOXELS, field, labels=labels)
    assert warped.shape == (*SHAPE, 3) and warped.dtype == (np.uint8 if labels else np.float32)
    alone = [inference.warp_array(image[..., c], VOXELS, field, labels=labels) for c in range(3)]
    np.testing.assert_array_equal(warped, np.stack(alone, axis=-1))


def test_an_array_of_another_dimension_is_refused():
    with pytest.raises(ValueError, match=r"A 3-D field warps 3-D images, .*Received: an array of shape \(12, 26\)"):
        inference.warp_array(np.zeros((12, 26)), VOXELS, linear_field())
