"""Files that VoxelMorph itself writes are models to register with: the same flow, and one line where they are none."""

import deepsim_tf as ds  # isort: skip
import h5py
import keras
import numpy as np
import pytest

from deepsim_tf import inference
from deepsim_tf._compat import vxm

SHAPE = (16, 32)


@pytest.fixture(scope="module")
def network():
    """A VxmDense with integration at half resolution, whose flow is not zero."""
    keras.utils.set_random_seed(0)
    network = vxm.networks.VxmDense(SHAPE, nb_unet_features=[[4, 8], [8, 8, 4]], int_steps=3)
    kernel, bias = network.get_layer("vxm_dense_flow").weights
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    bias.assign([0.7, -0.4])
    return network


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("vxm") / "model.h5"
    network.save(path)
    return path


@pytest.fixture(scope="module")
def expected(network, texture):
    """The flow of two textures by VoxelMorph's own method."""
    moving, fixed = texture(SHAPE, count=2)
    return network.register(moving[None], fixed[None])[0]


def test_its_flow_is_voxelmorphs_own(network, file, texture, expected):
    moving, fixed = texture(SHAPE, count=2)
    assert np.abs(expected).mean() > 0.3
    result = ds.register(file, moving, fixed)
    np.testing.assert_allclose(result["flow"], expected, atol=1e-5)
    own = network.predict_on_batch([moving[None], fixed[None]])[0][0]
    np.testing.assert_allclose(result["warped"], own, atol=1e-5)
    assert result["similarity_map"] is None


def test_a_file_of_keras_2_opens_too(file, texture, expected, tmp_path):
    """VoxelMorph on TensorFlow's own Keras named weights "layer/kernel:0", with other arguments in its config."""
    with h5py.File(file) as original, h5py.File(tmp_path / "old.h5", "w") as old:
        for name, value in original.attrs.items():
            old.attrs[name] = value.replace('"svf_resolution": 1, ', "") if name == "model_config" else value
        weights = old.create_group("model_weights")
        weights.attrs["layer_names"] = original["model_weights"].attrs["layer_names"]
        for layer in original["model_weights"].attrs["layer_names"]:
            group, source = weights.create_group(layer), original["model_weights"][layer]
            names = [name.decode() if isinstance(name, bytes) else name for name in source.attrs["weight_names"]]
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in names]
            for name in names:
                group[f"{name}:0"] = source[name][()]
    moving, fixed = texture(SHAPE, count=2)
    np.testing.assert_allclose(ds.register(tmp_path / "old.h5", moving, fixed)["flow"], expected, atol=1e-5)


def test_files_are_scaled_as_voxelmorph_scales_them(file, texture, tmp_path):
    model = inference.open_solver(file)
    moving, fixed = texture(SHAPE, count=2)
    for name, image in (("moving", moving), ("fixed", fixed)):
        np.save(tmp_path / f"{name}.npy", 1000 * image[..., 0])
    found = inference.register_pair(model, tmp_path / "moving.npy", tmp_path / "fixed.npy")
    scaled = [(image - image.min()) / np.ptp(image) for image in (moving, fixed)]
    np.testing.assert_allclose(found.field.voxels(), ds.register(model, *scaled)["flow"], atol=1e-4)
    assert found.numbers["similarity"] is None and found.numbers["intensity"] == "minmax"


def test_other_files_are_refused_in_one_line(network, tmp_path):
    (tmp_path / "garbage.h5").write_bytes(b"garbage")
    network.save_weights(tmp_path / "only.weights.h5")
    vxm.networks.VxmDense(SHAPE, nb_unet_features=[[2], [2]], src_feats=2).save(tmp_path / "channels.h5")
    diverged = vxm.networks.VxmDense(SHAPE, nb_unet_features=[[2], [2]])
    diverged.get_layer("vxm_dense_flow").bias.assign([np.nan, 0.0])
    diverged.save(tmp_path / "diverged.h5")
    images = keras.Input((4,))
    keras.Model(images, keras.layers.Dense(2)(images)).save(tmp_path / "dense.h5")
    for name, match in [
        ("none", "No model at"),
        ("garbage", "cannot be read as a VoxelMorph model"),
        ("only.weights", "weights without the network's arguments"),
        ("channels", "with .2, 1. channels"),
        ("dense", "a Keras model of another kind"),
        ("diverged", "diverged.h5 holds weights that are NaN or infinite .vxm_dense_flow/bias.. Its training diverged"),
    ]:
        with pytest.raises(ValueError, match=match) as error:
            inference.open_solver(tmp_path / f"{name}.h5")
        assert "\n" not in str(error.value)
