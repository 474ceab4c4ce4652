"""What the served functions answer: against ds.register, the losses and NumPy in this process."""

import deepsim_tf as ds  # isort: skip
import numpy as np
import pytest
import tensorflow as tf
from exports import ask, brains, cells, loaded, raw
from places import SHAPE

from deepsim_tf.export.signatures import signatures
from deepsim_tf.grids.fit import fit_image
from deepsim_tf.inference.arrays import warp_image, warp_labels
from deepsim_tf.intensity.rules import apply_intensity


def by_register(model, moving, fixed, folder):
    """The flow of ds.register on two files."""
    paths = [folder / "moving.npy", folder / "fixed.npy"]
    for path, image in zip(paths, (moving, fixed), strict=True):
        np.save(path, image[..., 0])
    return ds.register(model, *paths)["flow"]


@pytest.mark.parametrize("sizes", [((32, 40), (32, 40)), ((30, 45), (37, 26))])
def test_a_diffeomorphic_2d_model_answers_as_ds_register_does(tmp_path, sizes):
    moving, fixed = (raw(size, seed=k) for k, size in enumerate(sizes))
    result = ask(cells, "serving_default", moving=moving, fixed=fixed)
    flow = by_register(cells(), moving[0], fixed[0], tmp_path)
    assert np.abs(flow).max() > 1
    np.testing.assert_allclose(result["flow"][0], flow, atol=1e-5 * np.abs(flow).max())
    np.testing.assert_allclose(
        result["warped"][0], warp_image(moving[0], flow), atol=0.1
    )  # of 4095: its own intensities


@pytest.mark.parametrize("size", [(10, 9, 7), (14, 9, 11)])
def test_a_3d_model_answers_as_ds_register_does(tmp_path, size):
    moving, fixed = raw(size, seed=1), raw(size, seed=2)
    result = ask(brains, "serving_default", moving=moving, fixed=fixed)
    flow = by_register(brains(), moving[0], fixed[0], tmp_path)
    assert np.abs(flow).max() > 0.5
    np.testing.assert_allclose(result["flow"][0], flow, atol=1e-5 * np.abs(flow).max())
    assert set(loaded(brains).signatures) == {"serving_default", "warp_labels"}  # NCC has no similarity to serve


def test_a_batch_gives_the_results_of_its_pairs():
    moving, fixed = raw((33, 39), 3, seed=1), raw((33, 39), 3, seed=2)
    together = ask(cells, "serving_default", moving=moving, fixed=fixed)["flow"]
    apart = [
        ask(cells, "serving_default", moving=moving[k : k + 1], fixed=fixed[k : k + 1])["flow"][0] for k in range(3)
    ]
    np.testing.assert_allclose(together, apart, atol=1e-4)


def test_similarity_is_the_loss_of_the_training():
    fixed, warped = raw((37, 42), 2, seed=1), raw((37, 42), 2, seed=2)
    result = ask(cells, "similarity", fixed=fixed, warped=warped)
    on_grid = [
        np.stack([fit_image(apply_intensity(x, "quantile"), cells().shape, "pad:2") for x in images])
        for images in (fixed, warped)
    ]
    np.testing.assert_allclose(np.mean(1 - result["similarity"]), cells().similarity(*on_grid), atol=1e-5)
    assert set(result) == {"similarity", "level_1", "level_2"}
    np.testing.assert_allclose(result["similarity"], (result["level_1"] + result["level_2"]) / 2, atol=1e-6)
    same = ask(cells, "similarity", fixed=fixed, warped=fixed)
    assert (np.abs(same["similarity"] - 1) < 1e-5).all() and (result["similarity"] < 0.999).all()


def test_similarity_counts_the_voxels_that_the_loss_counts(extractor, registration, texture):
    fixed, warped = texture(count=2), texture(count=2, seed=1)
    loss = ds.losses.DeepSim(extractor, zero_mean=True, foreground=0.6, levels=["level_1"])
    functions, _ = signatures(registration(loss))
    measured = functions["similarity"](tf.constant(fixed), tf.constant(warped))
    np.testing.assert_allclose(np.mean(1 - measured["similarity"]), loss(fixed, warped), atol=1e-5)
    plain = ds.losses.DeepSim(extractor, zero_mean=True, levels=["level_1"])
    assert abs(float(plain(fixed, warped)) - float(loss(fixed, warped))) > 1e-3


def test_labels_move_to_the_nearest_voxel_and_stay_integers(rng):
    labels = rng.integers(0, 5, (2, 12, 15)).astype("int32")
    flow = rng.uniform(-4, 4, (2, 20, 11, 2)).astype("float32")
    warped = ask(cells, "warp_labels", labels=labels, flow=flow)["warped_labels"]
    assert warped.dtype == np.int32
    np.testing.assert_array_equal(warped, [warp_labels(*pair) for pair in zip(labels, flow, strict=True)])


def test_images_that_are_not_finite_or_not_in_pairs_are_refused_by_name():
    moving, fixed = raw(SHAPE, 2), raw(SHAPE, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="The served model expects as many moving as fixed images"):
        ask(cells, "serving_default", moving=moving, fixed=fixed[:1])
    fixed[0, 3, 4] = np.nan
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="The served model expects finite images, but fixed holds NaN or infinity"
    ):
        ask(cells, "serving_default", moving=moving, fixed=fixed)
