import itertools

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.spatial.transform import Rotation

from deepsim_tf.grids.affine import joined, mapped
from deepsim_tf.registration import objective
from deepsim_tf.registration.pairwise.affine import AffineStage
from deepsim_tf.registration.pairwise.frame import Frame
from deepsim_tf.registration.pairwise.poses import count, maps_of


def texture(shape, seed=0):
    """A smooth random image in [0, 1], dark towards its border."""
    image = gaussian_filter(np.random.default_rng(seed).normal(size=shape), min(shape) / 16)
    image = (image - image.min()) / np.ptp(image)
    windows = np.meshgrid(*[np.hanning(n) for n in shape], indexing="ij")
    return (image * np.prod(windows, axis=0) ** 0.25).astype(np.float32)


def corners(shape):
    return np.array(list(itertools.product(*[(0, n - 1) for n in shape])), float)


def turned(shape, degrees, scale, shift):
    """The map of voxels that turns about the centre, scales and shifts, (ndim + 1, ndim + 1), in float64."""
    ndim = len(shape)
    full = Rotation.from_euler("zyx", degrees if ndim == 3 else [degrees, 0, 0], degrees=True).as_matrix()
    linear = full[:ndim, :ndim] * scale
    centre = (np.array(shape) - 1) / 2
    return joined(linear, centre + shift - linear @ centre)


def parameters(ndim, **kinds):
    parts = [np.broadcast_to(kinds.get(kind, 0.0), (n,)) for kind, n in count(ndim).items()]
    return np.concatenate(parts)[None]


@pytest.mark.parametrize("degrees", [-90, -25, 1e-4, 60])
def test_a_turn_has_its_angle_at_any_size(degrees):
    radius = 7.0
    r = 2 * radius * np.tan(np.radians(degrees) / 2)
    linear, offset = maps_of(parameters(2, rotation=-r, translation=[3, -2]), 2, radius)
    expected = Rotation.from_euler("z", degrees, degrees=True).as_matrix()[:2, :2]
    np.testing.assert_allclose(linear[0], expected, atol=1e-12)
    np.testing.assert_array_equal(offset, [[3, -2]])


def test_scales_and_shears_are_what_they_are_called():
    linear, _ = maps_of(parameters(3, scale=[0.1, 0, -0.3], shear=[0.5, 0, 0]), 3, 2.0)
    expected = np.array([[1, 0.25, 0], [0, 1, 0], [0, 0, 1]]) @ np.diag(np.exp([0.05, 0, -0.15]))
    np.testing.assert_allclose(linear[0], expected, atol=1e-12)


def test_any_turn_in_space_is_a_rotation():
    linear, _ = maps_of(parameters(3, rotation=[1.0, -3.0, 0.7]), 3, 1.5)
    np.testing.assert_allclose(linear[0] @ np.transpose(linear[0]), np.eye(3), atol=1e-12)
    assert np.linalg.det(linear[0]) == pytest.approx(1)


CASES = {
    "2-D": ((72, 88), turned((72, 88), 24, 1.12, [9, -12])),
    "half the field of view": ((72, 88), turned((72, 88), 0, 1, [0, 40])),
    "3-D": ((32, 40, 36), turned((32, 40, 36), [15, -10, 12], 0.9, [4, -5, 3])),
}


@pytest.mark.parametrize("case", CASES)
def test_a_known_affine_map_is_found(case):
    shape, truth = CASES[case]
    moving = texture(shape)
    fixed = affine_transform(moving, truth[:-1, :-1], truth[:-1, -1], order=1)
    frame = Frame(shape, shape, np.ones(len(shape)), np.eye(len(shape) + 1))
    found, told = AffineStage(objective("ncc").similarity)(
        {"moving": moving[..., None], "fixed": fixed[..., None]}, frame, transform="affine"
    )
    error = np.linalg.norm(mapped(corners(shape), found) - mapped(corners(shape), truth), axis=-1)
    assert error.max() < 1
    assert told["after"] < told["before"] and told["grids"][-1]["grid"] == list(shape)


def test_voxels_of_unequal_length_and_another_grid_are_seen_in_the_world():
    shape, fine = (40, 64), np.array([2.0, 1.0])  # 80 x 64 mm
    world = turned((80, 64), 20, 1, [5, -8])  # a rotation in mm, none in voxels
    moving = texture((80, 64))
    to_mm = joined(fine, (fine - 1) / 2)
    fixed = affine_transform(moving, *[(world @ to_mm)[:2, k] for k in (slice(0, 2), 2)], output_shape=shape, order=1)
    frame = Frame(shape, (80, 64), fine, to_mm)
    stage = AffineStage(objective("ncc").similarity)
    found, _ = stage({"moving": moving[..., None], "fixed": fixed[..., None]}, frame, transform="rigid")
    truth = world @ to_mm
    assert np.linalg.norm(mapped(corners(shape), found) - mapped(corners(shape), truth), axis=-1).max() < 1
    in_mm = (found @ np.linalg.inv(to_mm))[:2, :2]
    np.testing.assert_allclose(in_mm @ in_mm.T, np.eye(2), atol=1e-5)  # rigid


def test_a_translation_is_nothing_else():
    moving = texture((48, 48))
    fixed = affine_transform(moving, *[turned((48, 48), 10, 1.05, [3, 4])[:2, k] for k in (slice(0, 2), 2)], order=1)
    frame = Frame((48, 48), (48, 48), np.ones(2), np.eye(3))
    stage = AffineStage(objective("mse").similarity)
    found, _ = stage({"moving": moving[..., None], "fixed": fixed[..., None]}, frame, transform="translation")
    np.testing.assert_array_equal(found[:2, :2], np.eye(2))
    np.testing.assert_allclose(found[:2, 2], [3, 4], atol=1.5)


@pytest.mark.parametrize("image", [texture((40, 40)), np.full((40, 40), 0.5, np.float32)])
def test_identical_and_constant_images_stay_where_they_are(image):
    frame = Frame((40, 40), (40, 40), np.ones(2), np.eye(3))
    stage = AffineStage(objective("ncc").similarity)
    found, _ = stage({"moving": image[..., None], "fixed": image[..., None]}, frame, transform="affine")
    np.testing.assert_array_equal(found, np.eye(3))
