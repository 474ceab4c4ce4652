"""Files that are registered without training: where they lie, what is written, and what SimpleITK makes of it."""

import deepsim_tf as ds  # isort: skip
import itertools
import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.spatial.transform import Rotation

from deepsim_tf.inference import read_field, register_files

LPS = np.diag([-1.0, -1, 1, 1])
FIXED = np.array([[-2.0, 0, 0, 30], [0, 0, 3, -40], [0, 2.5, 0, -20], [0, 0, 0, 1]])  # flipped, axes exchanged
TRUTH = np.eye(4)  # of the world: from fixed to moving points
TRUTH[:3, :3] = Rotation.from_euler("xyz", [8, -12, 15], degrees=True).as_matrix()
TRUTH[:3, 3] = [6, -5, 4]


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Two volumes of a world, on grids of another obliqueness, voxel size and shape; (folder, moving, fixed)."""
    folder = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(0)
    fixed = gaussian_filter(rng.normal(size=(32, 28, 26)), 2.5)
    windows = np.meshgrid(*[np.hanning(n) for n in fixed.shape], indexing="ij")
    fixed = ((fixed - fixed.min()) * np.prod(windows, axis=0) ** 0.5 * 1000).astype(np.float32)
    oblique = np.eye(4)
    oblique[:3, :3] = Rotation.from_euler("z", 20, degrees=True).as_matrix() @ np.diag([2.2, 2.0, 2.8])
    shape = np.array([36, 44, 30])
    centre = TRUTH @ FIXED @ [*(np.array(fixed.shape) - 1) / 2, 1]
    oblique[:3, 3] = centre[:3] - oblique[:3, :3] @ ((shape - 1) / 2)
    to_fixed = np.linalg.inv(FIXED) @ np.linalg.inv(TRUTH) @ oblique
    moving = affine_transform(fixed, to_fixed[:3, :3], to_fixed[:3, 3], output_shape=tuple(shape), order=1)
    for name, data, affine in (("moving", moving, oblique), ("fixed", fixed, FIXED)):
        nibabel.save(nibabel.Nifti1Image(data.astype(np.float32), affine), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def registered(volumes):
    """The folder of their registration, affine and then deformable."""
    optimizer = ds.PairwiseOptimizer(steps=5)
    register_files(
        optimizer, volumes / "moving.nii.gz", volumes / "fixed.nii.gz", volumes / "out", warn=lambda text: None
    )
    return volumes / "out"


def corners(shape):
    return np.array(list(itertools.product(*[(0, n - 1) for n in shape])), float)


def test_the_affine_map_is_found_in_the_world_and_itk_reads_it(registered):
    transform = sitk.ReadTransform(str(registered / "affine.txt"))
    points = np.c_[corners((32, 28, 26)), np.ones(8)] @ FIXED.T
    found = [transform.TransformPoint(tuple((LPS @ point)[:3])) for point in points]
    expected = points @ (LPS @ TRUTH).T
    assert np.linalg.norm(found - expected[:, :3], axis=-1).max() < 2 * 3.0  # mm: two voxels


def test_the_warped_image_is_what_itk_makes_of_the_flow(registered, volumes):
    moving, fixed = (sitk.ReadImage(str(volumes / f"{name}.nii.gz")) for name in ("moving", "fixed"))
    flow = sitk.Cast(sitk.ReadImage(str(registered / "flow.nii.gz")), sitk.sitkVectorFloat64)
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, sitk.DisplacementFieldTransform(flow)))
    warped = sitk.GetArrayFromImage(sitk.ReadImage(str(registered / "warped.nii.gz")))
    inner = (slice(4, -4),) * 3  # beyond the image, ITK has 0
    np.testing.assert_allclose(warped[inner], expected[inner], atol=1.0)
    before = sitk.GetArrayFromImage(sitk.Resample(moving, fixed))[inner].ravel()
    original = sitk.GetArrayFromImage(fixed)[inner].ravel()
    assert np.corrcoef(before, original)[0, 1] < 0.8 and np.corrcoef(warped[inner].ravel(), original)[0, 1] > 0.97


def test_the_inverse_flow_leads_back_from_the_moving_image(registered):
    flow, inverse = (read_field(registered / f"{name}.nii.gz") for name in ("flow", "inverse_flow"))
    assert inverse.shape == (36, 44, 30)
    points = np.concatenate([points + vectors for _, points, vectors in flow.slabs()])
    start = np.concatenate([points for _, points, _ in flow.slabs()])
    back = np.linalg.norm(points + inverse.at(points) - start, axis=-1)
    assert back[4:-4, 4:-4, 4:-4].max() < 0.2 * 2.0  # mm: a tenth of the shortest voxels, and their interpolation


def test_the_report_says_what_was_done(registered):
    report = json.loads((registered / "registration.json").read_text())
    assert report["model"] == "PairwiseOptimizer" and report["solver"]["steps"] == [5, 5, 5]
    assert report["solver"]["similarity"] == [["local_ncc", 1.0]] and report["settings"]["intensity"] is None
    assert report["optimization"]["affine"]["after"] < report["optimization"]["affine"]["before"]
    assert report["optimization"]["deformable"][-1]["grid"] == [32, 28, 26]
    assert report["similarity"]["after"] < report["similarity"]["before"] and report["folds"] == 0
    assert set(report["files"]) >= {"warped", "flow", "inverse_flow", "affine", "picture", "log_jacobian"}


def test_two_pictures_of_unequal_size_give_what_their_arrays_give(tmp_path):
    rng = np.random.default_rng(1)
    whole = gaussian_filter(rng.random((60, 70)), 2)
    whole = ((whole - whole.min()) / np.ptp(whole) * 255).astype(np.uint8)
    moving, fixed = whole[4:54, 2:], whole[:56, :64]
    for name, image in (("moving", moving), ("fixed", fixed)):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    optimizer = ds.PairwiseOptimizer(steps=5)
    paths = [tmp_path / f"{name}.tif" for name in ("moving", "fixed")]
    report = register_files(optimizer, *paths, tmp_path / "out", intensity="fixed:0:255")
    arrays = ds.register(optimizer, *(image.astype(np.float32) / 255 for image in (moving, fixed)))
    field = read_field(tmp_path / "out" / "flow.nii.gz")
    np.testing.assert_allclose(field.voxels(), arrays["flow"], atol=1e-4)
    np.testing.assert_allclose(np.median(arrays["flow"], axis=(0, 1)), [-4, -2], atol=0.3)
    assert report["displacement"]["unit"] == "pixels"
    transform = sitk.ReadTransform(str(tmp_path / "out" / "affine.txt"))
    column, row = transform.TransformPoint((30.0, 20.0))  # ITK's order
    np.testing.assert_allclose([row, column], (arrays["affine"] @ [20, 30, 1])[:2], atol=1e-4)
    assert tifffile.imread(tmp_path / "out" / "warped.tif").shape == fixed.shape
