import deepsim_tf as ds  # isort: skip
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from deepsim_tf.inference.arrays import warp_image

MOTION = np.array([[0, 0], [1.5, -1], [3, -2], [4.5, -3]])


@pytest.fixture(scope="module")
def movie():
    """Frames (4, 48, 56) of one texture that moves on by `MOTION`: frame k at p + MOTION[k] is frame 0 at p."""
    whole = gaussian_filter(np.random.default_rng(0).random((72, 80)), 2)
    whole = (whole - whole.min()) / np.ptp(whole)
    return np.stack([shift(whole, motion, order=1)[12:-12, 12:-12] for motion in MOTION]).astype(np.float32)


@pytest.fixture(scope="module")
def optimizer():
    return ds.PairwiseOptimizer(transform="translation")


@pytest.mark.parametrize(("reference", "frame"), [("first", 0), (2, 2), (-1, 3), ("previous", 0)])
def test_every_flow_leads_from_the_reference_into_its_frame(movie, optimizer, reference, frame):
    found = ds.register_series(optimizer, movie, reference=reference, verbose=0)
    assert found["warped"].shape == (4, 48, 56, 1) and found["flows"].shape == (4, 48, 56, 2)
    np.testing.assert_allclose(np.median(found["flows"], axis=(1, 2)), MOTION - MOTION[frame], atol=0.3)
    np.testing.assert_array_equal(found["flows"][frame], 0)
    for image, flow, warped in zip(movie, found["flows"], found["warped"], strict=True):
        np.testing.assert_array_equal(warped, warp_image(image[..., None], flow))
    assert found["drift"] is None if reference != "previous" else found["drift"] < 0.5


def test_the_frames_of_a_series_are_registered_as_pairs(movie, optimizer):
    found = ds.register_series(optimizer, movie[:3], verbose=0)
    for k in (1, 2):
        np.testing.assert_array_equal(found["flows"][k], ds.register(optimizer, movie[k], movie[0])["flow"])


def test_the_mean_of_the_frames_gets_sharp(movie, optimizer):
    found = ds.register_series(optimizer, movie, reference="mean", verbose=0)
    inner = (slice(None), slice(8, -8), slice(8, -8))
    before, after = movie[..., None][inner].std(axis=0).mean(), found["warped"][inner].std(axis=0).mean()
    assert after < 0.2 * before


def test_a_drift_is_reported(movie):
    calls = iter([1.0, 1.0, 1.0, -1.0])  # voxels of each registration; the last is the direct one

    def solver(images):
        flow = np.zeros((*images["fixed"].shape[:-1], 2), np.float32)
        return {"flow": flow + next(calls)}

    with pytest.warns(UserWarning, match="led 5.7 voxels away"):
        found = ds.register_series(solver, movie, reference="previous", verbose=0)
    assert found["drift"] == pytest.approx(np.sqrt(2) * 4)
    np.testing.assert_allclose(found["flows"][:, 20, 20, 0], [0, 1, 2, 3])


def test_bad_series_are_refused_by_name(movie, optimizer):
    with pytest.raises(ValueError, match="Unknown reference 'last'. Available: first, previous, mean"):
        ds.register_series(optimizer, movie, reference="last")
    with pytest.raises(ValueError, match="reference must be a frame from 0 to 3. Received: reference=4"):
        ds.register_series(optimizer, movie, reference=4)
    with pytest.raises(ValueError, match="two frames or more"):
        ds.register_series(optimizer, movie[:1])
    with pytest.raises(ValueError, match="register_series expects"):
        ds.register_series(optimizer, (movie * 255).astype(np.uint8))
