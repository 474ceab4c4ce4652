"""Mixed precision: losses are scaled in float16, and a model comes back in the precision that it was made in."""

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pandas
import pytest
from entries import smaller

from deepsim_tf import recipes, training


def test_float16_scales_the_loss_and_survives_a_reload(mixed_float16, registration, pair, tmp_path):
    model, (inputs, _) = registration("mse"), pair()
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")  # as in a fresh process
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.policy == "mixed_float16" and isinstance(loaded.optimizer, keras.optimizers.LossScaleOptimizer)
    np.testing.assert_array_equal(loaded.predict_on_batch(inputs)["flow"], model.predict_on_batch(inputs)["flow"])


def test_a_segmentation_model_keeps_its_precision(mixed_float16):
    model = ds.models.segmentation_model((8, 8), 2, features=(2,))
    keras.config.set_dtype_policy("float32")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert copy.get_layer("logits").compute_dtype == "float16" == model.get_layer("logits").compute_dtype


@pytest.mark.parametrize("loss", [ds.losses.LocalNCC(), ds.losses.NMI(fraction=1)], ids=lambda loss: loss.name)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_similarity_of_half_precision_images_is_computed_in_float32(loss, dtype, pair):
    images = [keras.ops.cast(image, dtype) for image in pair()[0].values()]
    value = loss(images[0], images[1])
    assert value.dtype == "float32"
    expected = loss(*(keras.ops.cast(image, "float32") for image in images))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_deepsim_compares_the_features_of_a_float16_extractor_in_float32(mixed_float16, pair):
    extractor = ds.models.FeatureExtractor.from_model(
        ds.models.segmentation_model((16, 20), 2, backbone="paper", features=(4, 8))
    )
    fixed, warped = pair()[0].values()
    features = [extractor(image) for image in (fixed, warped)]
    assert {f.dtype.name for f in features[0].values()} == {"float16"}
    # Equation 1 in float64, of the same rounded features: float16 sums of squares would be off by 1e-3.
    cosines = []
    for level in extractor.levels:
        a, b = (np.asarray(f[level], "float64") for f in features)
        cosines.append(
            ((a * b).sum(-1) / np.sqrt(np.maximum((a * a).sum(-1), 1e-6) * np.maximum((b * b).sum(-1), 1e-6))).mean(
                (1, 2)
            )
        )
    value = ds.losses.DeepSim(extractor, reduction=None)(fixed, warped)
    assert value.dtype == "float32"
    np.testing.assert_allclose(value, 1 - np.mean(cosines, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_recipe_trains_in_half_precision(precision, tmp_path, monkeypatch):
    tiny = ds.data.synthetic("platelet", "train", size=(32, 32), count=2)
    monkeypatch.setitem(recipes.DATASETS, "synthetic-platelet", smaller("synthetic-platelet", lambda split: tiny))
    size = {"features": (2,), "epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "precision": precision}
    model = training.train_registration(
        recipes.registration("synthetic-platelet", "cpu", "ncc", **size), tmp_path / "run", verbose=0
    )
    assert model.policy == f"mixed_{precision}" and keras.config.dtype_policy().name == "float32"
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (precision == "float16")
    assert {w.dtype for w in model.trainable_weights} == {"float32"}
    assert np.isfinite(pandas.read_csv(tmp_path / "run/history.csv")["val_loss"]).all()
    assert keras.models.load_model(tmp_path / "run/model.keras").policy == f"mixed_{precision}"


def test_float32_is_the_default_and_another_precision_is_named():
    assert recipes.registration("synthetic-platelet", "cpu", "mse").precision == "float32"
    with pytest.raises(ValueError, match="Unknown precision 'half'. Available: float32, bfloat16, float16"):
        recipes.registration("synthetic-platelet", "cpu", "mse", precision="half")
