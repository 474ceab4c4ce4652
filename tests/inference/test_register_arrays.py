"""ds.register on arrays and on PNG and TIFF files."""

import deepsim_tf as ds  # isort: skip
import numpy as np
from PIL import Image

from deepsim_tf.inference import warp_image


def test_register_answers_on_the_images_own_grid(registration, extractor, texture):
    model = registration(ds.losses.DeepSim(extractor))  # for images of 16 x 20
    moving, fixed = texture((27, 33), count=2)
    result = ds.register(model, moving, fixed[..., 0])
    shapes = {name: value.shape for name, value in result.items() if value is not None}
    assert shapes == {"warped": (27, 33, 1), "flow": (27, 33, 2), "similarity_map": (27, 33)}
    assert set(result) - set(shapes) == {"affine", "inverse_flow"}  # a network finds none
    np.testing.assert_array_equal(result["warped"], warp_image(moving, result["flow"]))
    expected = model.similarity.similarity_map(fixed[None], result["warped"][None])[0]
    np.testing.assert_allclose(result["similarity_map"], expected, atol=1e-6)
    assert -1 - 1e-5 <= result["similarity_map"].min() < result["similarity_map"].max() <= 1 + 1e-5


def test_a_model_of_another_loss_has_no_similarity_map(texture, constant):
    moving, fixed = texture((16, 16), count=2)
    assert ds.register(constant((16, 16), (0, 0)), moving, fixed)["similarity_map"] is None


def test_register_takes_the_path_of_a_model(tmp_path, texture, constant):
    moving, fixed = texture((16, 16), count=2)
    model = constant((16, 16), (0, 1))
    model.save(tmp_path / "model.keras")
    for path in (tmp_path, str(tmp_path / "model.keras")):  # a run folder, or the file
        np.testing.assert_allclose(ds.register(path, moving, fixed)["flow"], np.broadcast_to([0.0, 1.0], (16, 16, 2)))


def test_register_applies_the_models_intensity_rule_to_files(tmp_path, constant):
    raw = np.random.default_rng(0).integers(0, 256, (2, 16, 16)).astype("uint8")
    paths = [tmp_path / "moving.tif", tmp_path / "fixed.png"]
    for path, image in zip(paths, raw, strict=True):
        Image.fromarray(image).save(path)
    model = constant((16, 16), (0, 0), intensity="fixed:0:256")
    np.testing.assert_allclose(ds.register(model, *paths)["warped"][..., 0], raw[0] / 256, rtol=1e-6)
    np.testing.assert_allclose(ds.register(model, *map(str, paths))["warped"][..., 0], raw[0] / 256, rtol=1e-6)
