"""What else can be served: images of several channels, VoxelMorph's files; and what is refused by name."""

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest
import tensorflow as tf
from exports import raw, stirred

from deepsim_tf._compat import vxm
from deepsim_tf.export.signatures import signatures
from deepsim_tf.grids.fit import fit_image
from deepsim_tf.intensity.rules import apply_intensity
from deepsim_tf.registration.solver import Solver


def several(size, channels, seed):
    """One image of several different channels, (1, *size, channels), as in files of 12 bits."""
    return np.concatenate([raw(size, seed=10 * seed + c) for c in range(channels)], axis=-1)


def by_register(model, rule, *images):
    """The flow of ds.register on the images of two batches of one, after the rule."""
    return ds.register(model, *(apply_intensity(image[0], rule) for image in images))["flow"]


@pytest.fixture(scope="module")
def in_colour():
    """For RGB images that come centred onto the grid, with a DeepSim of RGB features."""
    keras.utils.set_random_seed(0)
    segmenter = ds.models.segmentation_model((16, 20), 3, channels=3, backbone="paper", features=(4, 8))
    model = ds.models.registration_model((16, 20), channels=3, features=(4,), intensity="quantile", image_fit="pad")
    model.compile("adam", ds.losses.DeepSim(ds.models.FeatureExtractor.from_model(segmenter), foreground=0.1))
    return stirred(model)


def test_a_model_of_rgb_images_answers_as_ds_register_does(in_colour, tmp_path):
    moving, fixed = several((18, 23), 3, 1), several((15, 26), 3, 2)
    served = tf.saved_model.load(str(ds.export(in_colour, tmp_path / "colours"))).signatures
    result = served["serving_default"](moving=tf.constant(moving), fixed=tf.constant(fixed))
    flow = by_register(in_colour, "quantile", moving, fixed)
    assert result["warped"].shape == (1, 15, 26, 3) and np.abs(flow).max() > 0.5
    np.testing.assert_allclose(result["flow"][0], flow, atol=1e-5 * np.abs(flow).max())
    fixed, warped = several((15, 26), 3, 3), several((15, 26), 3, 4)
    measured = served["similarity"](fixed=tf.constant(fixed), warped=tf.constant(warped))["similarity"]
    on_grid = [fit_image(apply_intensity(image[0], "quantile"), (16, 20), "pad")[None] for image in (fixed, warped)]
    np.testing.assert_allclose(1 - measured[0], in_colour.objective().semantic(*on_grid), atol=1e-5)


def test_a_3d_model_of_two_channels_answers_as_ds_register_does():
    keras.utils.set_random_seed(0)
    model = stirred(ds.models.registration_model((8, 9, 10), channels=2, features=(2,), intensity="minmax"))
    model.compile("adam", "mse")
    moving, fixed = several((11, 8, 12), 2, 1), several((11, 8, 12), 2, 2)
    result = signatures(model)[0]["serving_default"](tf.constant(moving), tf.constant(fixed))
    flow = by_register(model, "minmax", moving, fixed)
    assert np.abs(flow).max() > 0.5 and result["warped"].shape == (1, 11, 8, 12, 2)
    np.testing.assert_allclose(result["flow"][0], flow, atol=1e-5 * np.abs(flow).max())


def test_a_file_of_voxelmorph_answers_as_ds_register_does(tmp_path):
    keras.utils.set_random_seed(0)
    network = vxm.networks.VxmDense((16, 32), nb_unet_features=[[4], [4, 4]], int_steps=2)
    kernel = network.get_layer("vxm_dense_flow").weights[0]
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    network.save(tmp_path / "model.h5")
    moving, fixed = raw((16, 32), seed=1), raw((16, 32), seed=2)
    served = tf.saved_model.load(str(ds.export(tmp_path / "model.h5", tmp_path / "vxm"))).signatures
    assert set(served) == {"serving_default", "warp_labels"}  # such a file holds no loss
    flow = by_register(tmp_path / "model.h5", "minmax", moving, fixed)
    assert np.abs(flow).max() > 0.5
    result = served["serving_default"](moving=tf.constant(moving), fixed=tf.constant(fixed))
    np.testing.assert_allclose(result["flow"][0], flow, atol=1e-5 * np.abs(flow).max())


def test_a_solver_that_is_no_graph_is_refused_with_what_can_be_exported(tmp_path):
    class Mine(Solver):
        shape = (16, 20)

    expected = "runs in Python and cannot be exported. Expected a model of ds.models.registration_model, .* or a Voxel"
    for solver, name in ((Mine(), "Mine"), (lambda images: {"flow": images["moving"]}, "FunctionSolver")):
        with pytest.raises(ValueError, match=f"A {name} {expected}"):
            ds.export(solver, tmp_path / "a")
    assert not (tmp_path / "a").exists()
