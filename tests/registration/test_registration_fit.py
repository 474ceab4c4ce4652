"""One short training with DeepSim on an untrained extractor, and what it must and must not change."""

import keras
import numpy as np
import pytest

import deepsim_tf as ds

SHIFT = (2, -1)  # fixed(p) = moving(p + SHIFT), so the flow to find is SHIFT everywhere


@pytest.fixture(scope="module")
def fitted(texture):
    """The model after `fit`, its history and inputs, the segmentation model, and the extractor's old weights."""
    keras.utils.set_random_seed(0)
    segmenter = ds.models.segmentation_model((24, 24), 2, backbone="paper", features=(8, 16))
    extractor = ds.models.FeatureExtractor.from_model(segmenter)
    frozen, source = extractor.get_weights(), segmenter.get_weights()
    whole = texture((28, 28), count=4, smooth=2.0)
    inputs = {
        "moving": whole[:, 2:26, 2:26],
        "fixed": whole[:, 2 + SHIFT[0] : 26 + SHIFT[0], 2 + SHIFT[1] : 26 + SHIFT[1]],
    }
    model = ds.models.registration_model((24, 24), features=(8, 16))
    model.compile(
        keras.optimizers.Adam(1e-2), ds.losses.DeepSim(extractor), regularizer=ds.losses.Diffusion(), weight=0.1
    )
    history = model.fit(inputs, batch_size=4, epochs=60, verbose=0).history
    found = {"model": model, "history": history, "inputs": inputs, "extractor": extractor, "segmenter": segmenter}
    return {**found, "frozen": frozen, "source": source}


def test_a_known_shift_is_recovered_to_half_a_voxel(fitted):
    flow = fitted["model"](fitted["inputs"])["flow"].numpy()[:, 5:-5, 5:-5]
    np.testing.assert_allclose(flow.mean((1, 2)), np.broadcast_to(SHIFT, (4, 2)), atol=0.5)
    assert np.mean(np.linalg.norm(flow - SHIFT, axis=-1)) < 0.5


def test_the_warped_image_is_the_fixed_one(fitted):
    inputs, warped = fitted["inputs"], fitted["model"](fitted["inputs"])["warped"].numpy()
    before, after = (np.mean(np.abs(image - inputs["fixed"])[:, 4:-4, 4:-4]) for image in (inputs["moving"], warped))
    assert after < before / 4


def test_the_fit_lowers_deepsim(fitted):
    history = fitted["history"]
    assert sorted(history) == ["loss", "regularizer", "similarity"]
    assert history["similarity"][-1] < history["similarity"][0] / 3 and history["loss"][-1] < history["loss"][0] / 2


def test_the_fit_leaves_the_extractor_alone_to_the_bit(fitted):
    for before, after in zip(fitted["frozen"], fitted["model"].similarity.extractor.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not fitted["extractor"].trainable_weights
    trained = {id(w) for w in fitted["model"].trainable_weights}
    assert not trained & {id(w) for w in fitted["extractor"].weights}


def test_the_fit_leaves_the_source_model_as_it_was_and_trainable(fitted):
    segmenter = fitted["segmenter"]
    for before, after in zip(fitted["source"], segmenter.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert segmenter.trainable and len(segmenter.trainable_weights) == 2 * 11 + 2 * 2  # 11 convolutions, 2 batch norms
