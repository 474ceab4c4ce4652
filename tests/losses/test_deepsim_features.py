"""DeepSim(warp="features"): the features of the moving image are warped, instead of the image."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepsim_tf as ds


def shift(images, flow):
    return images, np.broadcast_to(np.float32(flow), (*images.shape[:-1], len(flow))).copy()


def test_without_a_flow_it_is_the_plain_loss(extractor, texture):
    fixed, moving = texture((16, 16), count=2)[:1], texture((16, 16), count=2)[1:]
    plain, features = ds.losses.DeepSim(extractor), ds.losses.DeepSim(extractor, warp="features")
    np.testing.assert_allclose(features.of_flow(fixed, *shift(moving, (0, 0))), plain(fixed, moving), rtol=1e-5)


def test_a_shift_of_whole_feature_voxels_matches_the_shifted_image(extractor, texture):
    # Levels are 2 and 4 times smaller: 4 pixels are 2 and 1 of their voxels. Far from the border both ways agree.
    whole = texture((68, 64))
    fixed, moving = whole[:, 4:], whole[:, :-4]
    loss = ds.losses.DeepSim(extractor, warp="features")
    inside = np.zeros((1, 64, 64), np.float32)
    inside[:, 28:36, 28:36] = 1
    # fixed(p) = moving(p + 4): the flow +4 aligns them, none and -4 do not.
    right, none, wrong = (float(loss.of_flow(fixed, *shift(moving, (d, 0)), sample_weight=inside)) for d in (4, 0, -4))
    perfect = float(ds.losses.DeepSim(extractor)(fixed, fixed, sample_weight=inside))
    assert right == pytest.approx(perfect, abs=1e-4)
    assert none > right + 1e-4 and wrong > right + 1e-4


def test_the_gradient_reaches_the_flow_and_not_the_extractor(extractor, texture):
    fixed, moving = texture((16, 16), count=2)[:1], texture((16, 16), count=2)[1:]
    flow = tf.Variable(np.full((1, 16, 16, 2), 0.3, np.float32))
    with tf.GradientTape() as tape:
        value = ds.losses.DeepSim(extractor, warp="features").of_flow(fixed, moving, flow)
    gradient = tape.gradient(value, flow)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_it_trains_saves_and_reloads(extractor, registration, pair, tmp_path):
    images, labels = pair()
    model = registration(ds.losses.DeepSim(extractor, warp="features"), learning_rate=1e-2)
    before = model.evaluate(images, labels, verbose=0, return_dict=True)["similarity"]
    model.fit(images, epochs=8, verbose=0)
    after = model.evaluate(images, labels, verbose=0, return_dict=True)["similarity"]
    assert after < before
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.similarity.warp == "features"
    assert again.evaluate(images, labels, verbose=0, return_dict=True)["similarity"] == pytest.approx(after, rel=1e-5)


def test_without_the_flow_it_says_where_it_works(extractor, texture):
    image = texture((16, 16))
    with pytest.raises(
        ValueError, match="DeepSim needs the flow: compile it in ds.models.registration_model, or call of_flow"
    ):
        ds.losses.DeepSim(extractor, warp="features")(image, image)
    with pytest.raises(ValueError, match="Unknown warp 'flow'. Available: image, features"):
        ds.losses.DeepSim(extractor, warp="flow")
