"""Our warped image is what SimpleITK makes of the original files and our flow: any affine, voxel size and flip."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from scenes import affine, save_volume, wavy_model

from deepsim_tf import inference

PAIRS = {  # (shape, voxel sizes, axes, angles, centre) of fixed and moving
    "straight": (
        ((30, 32, 28), (2, 2, 2), "RAS", (0, 0, 0), (0, 0, 0)),
        ((28, 30, 30), (2, 2, 2), "RAS", (0, 0, 0), (1, -2, 2)),
    ),
    "oblique": (
        ((28, 26, 30), (2, 2.2, 1.9), "RAS", (12, -8, 20), (2, 1, -3)),
        ((34, 30, 28), (1.8, 2, 2.3), "RAS", (-5, 7, 3), (-2, 3, 1)),
    ),
    "anisotropic, flipped": (
        ((52, 10, 50), (1.1, 6, 1.2), "LSP", (0, 0, 0), (0, 2, 0)),
        ((12, 44, 46), (5, 1.4, 1.3), "IRA", (0, 4, -3), (1, 0, 2)),
    ),
    "oblique, anisotropic, flipped": (
        ((14, 40, 42), (4, 1.5, 1.4), "SLA", (15, 10, -12), (1, 0, 2)),
        ((40, 12, 40), (1.5, 5, 1.6), "PIR", (-8, 3, 25), (0, 1, -1)),
    ),
}


@pytest.fixture(scope="module")
def model():
    return wavy_model((20, 22, 18), spacing=(3, 3, 3), orientation="RAS", image_fit="pad")


def resampled_by_itk(moving, fixed, flow, interpolator=sitk.sitkLinear):
    """The moving file through ITK's own transform, and where it was inside the moving image.

    Arrays in ITK's order of axes.
    """
    moving, fixed = (sitk.ReadImage(str(path)) for path in (moving, fixed))
    transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(flow), sitk.sitkVectorFloat64))
    inside = sitk.Resample(moving * 0 + 1, fixed, transform, sitk.sitkLinear, 0.0)
    return sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, interpolator, 0.0)), sitk.GetArrayFromImage(
        inside
    ) > 0.999


@pytest.mark.parametrize("name", PAIRS)
def test_itk_warps_the_original_files_to_our_image(model, name, tmp_path):
    (shape, *rest), (moving_shape, *moving_rest) = PAIRS[name]
    fixed = save_volume(tmp_path / "fixed.nii.gz", shape, affine(shape, *rest))
    moving = save_volume(tmp_path / "moving.nii.gz", moving_shape, affine(moving_shape, *moving_rest), shift=(2, -1, 1))
    found = inference.register_pair(model, moving, fixed)
    inference.write_field(found.field, tmp_path / "flow.nii.gz")
    expected, inside = resampled_by_itk(moving, fixed, tmp_path / "flow.nii.gz")

    ours = found.warped[..., 0].transpose()  # (x, y, z) -> ITK's (z, y, x)
    span = np.ptp(expected[inside])
    assert inside.mean() > 0.4
    assert np.abs(ours - expected)[inside].mean() < 1e-4 * span  # asked for: 0.5 %
    assert 1.5 < found.field.lengths()[0] < 10  # mm
    still = sitk.GetArrayFromImage(
        sitk.Resample(sitk.ReadImage(str(moving)), sitk.ReadImage(str(fixed)), sitk.Transform(), sitk.sitkLinear, 0.0)
    )
    assert np.abs(still - expected)[inside].mean() > 0.02 * span  # what a flow of zero would give


def test_the_folder_of_a_registration_holds_files_that_itk_reads_on_the_grid_of_the_fixed_one(model, tmp_path):
    (shape, *rest), (moving_shape, *moving_rest) = PAIRS["oblique, anisotropic, flipped"]
    fixed = save_volume(tmp_path / "fixed.nii", shape, affine(shape, *rest))
    moving = save_volume(tmp_path / "moving.mgz", moving_shape, affine(moving_shape, *moving_rest))
    with pytest.warns(UserWarning, match="turned by"):
        report = inference.register_files(model, moving, fixed, tmp_path / "out")
    expected = sitk.ReadImage(str(fixed))
    for name in ("warped", "log_jacobian", "flow"):
        found = sitk.ReadImage(str(tmp_path / "out" / report["files"][name]))
        assert found.GetSize() == expected.GetSize()
        for ours, theirs in ((found.GetOrigin(), expected.GetOrigin()), (found.GetSpacing(), expected.GetSpacing())):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
        np.testing.assert_allclose(found.GetDirection(), expected.GetDirection(), atol=1e-5)
    header = nibabel.load(tmp_path / "out" / "flow.nii.gz").header
    assert int(header["intent_code"]) == 1007 and header["dim"][:6].tolist() == [5, *shape, 1, 3]


def test_the_log_jacobian_is_that_of_itk(model, tmp_path):
    shape = (30, 26, 14)  # axes along ITK's: its filter takes derivatives along the axes of the image
    fixed = save_volume(tmp_path / "fixed.nii.gz", shape, affine(shape, (1.5, 2, 4), "LPS"))
    moving = save_volume(tmp_path / "moving.nii.gz", shape, affine(shape, (2, 2, 4)))
    found = inference.register_pair(model, moving, fixed)
    inference.write_field(found.field, tmp_path / "flow.nii.gz")
    field = sitk.ReadImage(str(tmp_path / "flow.nii.gz"), sitk.sitkVectorFloat64)
    determinant = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field)).transpose()
    inner = (slice(1, -1),) * 3  # at the border ITK's differences are other ones
    expected = np.log(np.maximum(determinant[inner], 1e-9))
    clear = np.abs(determinant[inner]) > 0.01  # the logarithm magnifies rounding near 0
    assert 0.9 < clear.mean() and np.ptp(expected) > 0.5
    np.testing.assert_allclose(found.log_jacobian[inner][clear], expected[clear], atol=2e-3)
    assert found.numbers["folds"] == np.mean(found.log_jacobian < -20)


@pytest.mark.parametrize("fit", ["pad", None])
def test_itk_warps_a_microscope_image_by_our_flow_in_pixels(fit, texture, tmp_path):
    sizes = {"moving": (50, 61), "fixed": (46, 64)} if fit else {"moving": (46, 64), "fixed": (46, 64)}
    for seed, (name, shape) in enumerate(sizes.items()):
        Image.fromarray((255 * texture(shape, seed=seed, smooth=4)[0, ..., 0]).astype("uint8")).save(
            tmp_path / f"{name}.tif"
        )
    found = inference.register_pair(
        wavy_model((48, 56), image_fit=fit), tmp_path / "moving.tif", tmp_path / "fixed.tif"
    )
    inference.write_field(found.field, tmp_path / "flow.nii.gz")
    header = nibabel.load(tmp_path / "flow.nii.gz").header
    assert header["dim"][:6].tolist() == [5, 64, 46, 1, 1, 2] and int(header["intent_code"]) == 1007
    for name in ("moving", "fixed"):  # ITK would keep 8 bits
        sitk.WriteImage(
            sitk.Cast(sitk.ReadImage(str(tmp_path / f"{name}.tif")), sitk.sitkFloat32), str(tmp_path / f"{name}.mha")
        )
    expected, inside = resampled_by_itk(tmp_path / "moving.mha", tmp_path / "fixed.mha", tmp_path / "flow.nii.gz")
    assert inside.mean() > 0.7 and found.field.lengths()[0] > 0.8
    np.testing.assert_allclose(found.warped[..., 0][inside], expected[inside], atol=0.02)  # of 255
    assert inference.read_field(tmp_path / "flow.nii.gz").vectors.shape == (46, 64, 2)
