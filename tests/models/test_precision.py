"""Mixed precision: losses are scaled in float16, and a model comes back in the precision that it was made in."""

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np


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
