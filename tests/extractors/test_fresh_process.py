"""What a saved extractor, and a registration model with it in its loss, are in another process."""

import backbones
import keras
import numpy as np
from keras import layers as kl

import deepsim_tf as ds
from deepsim_tf.models import FeatureExtractor

CODE = """
import deepsim_tf, keras, numpy as np
extractor = keras.models.load_model("{folder}/extractor.keras")
model = keras.models.load_model("{folder}/model.keras")
assert not extractor.trainable and not extractor.trainable_weights and not model.similarity.extractor.trainable_weights
with np.load("{folder}/pair.npz") as pair:
    loss = model.similarity(pair["fixed"], pair["moving"])
    np.savez("{folder}/found.npz", loss=loss, **extractor(pair["fixed"]))
"""


def test_a_file_in_a_fresh_process_gives_the_same(fresh_python, tmp_path, pair, registration):
    inputs = pair()[0]
    normalization = kl.Normalization()
    normalization.adapt(np.repeat(inputs["fixed"], 3, axis=-1) * 255)
    images = keras.Input((16, 20, 3))
    x = backbones.backbone((None, None, 3))(kl.RandomFlip()(normalization(images)) * 2.0)
    segmentation = keras.Model(images, kl.Conv2D(2, 1)(x))
    extractor = FeatureExtractor.from_model(
        segmentation, layers=["conv_1", "conv_2"], channels="repeat", scale=255, levels=["level_2"]
    )
    model = registration(ds.losses.DeepSim(extractor))
    extractor.save(tmp_path / "extractor.keras")
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "pair.npz", **inputs)
    result = fresh_python(CODE.format(folder=tmp_path))
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_array_equal(found["level_2"], extractor(inputs["fixed"])["level_2"])
        assert found["loss"] == model.similarity(inputs["fixed"], inputs["moving"]).numpy()
