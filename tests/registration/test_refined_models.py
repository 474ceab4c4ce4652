"""Instance refinement in use.

Pairs and threads on one graph, models compiled anew, half precision, `refine=` elsewhere, and refusals.
"""

import concurrent.futures
import gc
import weakref

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest
from refinable import SHAPE, predicted, zero

from deepsim_tf.registration.refined import _refinement, refine_flow


def test_one_graph_serves_all_pairs_and_threads(model, shifted):
    pairs = [shifted(seed=seed) for seed in range(4)]
    alone = [
        refine_flow(model, *pair, zero(), steps=3 + k, learning_rate=0.1 / (1 + k))[0] for k, pair in enumerate(pairs)
    ]
    assert _refinement(model).descent.graphs == 1
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(refine_flow, model, *pair, zero(), steps=3 + k, learning_rate=0.1 / (1 + k))
            for k, pair in enumerate(pairs)
        ]
        for job, flow in zip(jobs, alone, strict=True):
            np.testing.assert_allclose(job.result()[0], flow, atol=1e-6)
    assert _refinement(model).descent.graphs == 1


def test_a_model_compiled_anew_has_its_new_loss_without_a_supervised_term_and_is_let_go(shifted):
    moving, fixed = shifted()
    model = ds.models.registration_model(SHAPE, features=(2,), classes=3)
    model.compile("adam", "mse")
    assert refine_flow(model, moving, fixed, zero(), steps=0)[1]["loss"] == [
        pytest.approx(np.mean((moving - fixed) ** 2), rel=1e-5)
    ]
    model.compile("adam", "mae", supervised="mse", supervised_weight=100.0)
    history = refine_flow(model, moving, fixed, zero(), steps=0)[1]
    assert history["loss"] == [pytest.approx(np.abs(moving - fixed).mean(), rel=1e-5)] and history["regularizer"] == [0]
    held = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert held() is None


def test_half_precision_does_not_swallow_the_gradient(mixed_float16, untrained, shifted):
    segmentation = ds.models.segmentation_model(SHAPE, 3, backbone="paper", features=(4, 8))
    model = untrained(ds.losses.DeepSim(ds.models.FeatureExtractor.from_model(segmentation)))
    flow, history = refine_flow(model, *shifted(shift=1), zero(), steps=5)
    assert history["loss"][history["best"]] < 0.95 * history["loss"][0] and (flow != 0).mean() > 0.9


def test_register_and_evaluate_refine_and_dice_rises(model, shifted):
    pair = shifted()
    images = ds.data.ImageSet(
        lambda i: (pair[i], (pair[i][..., 0] > 0.5).astype("int32")),
        ["moving", "fixed"],
        name="shifted",
        split="test",
        classes=2,
        shape=SHAPE,
        spacing=(1, 1),
        intensity="none",
        pairs=[(0, 1)],
    )
    before, after = (ds.evaluate(model, images, refine=refine, quick=True, verbose=0) for refine in (0, 60))
    assert before["dice"][0] < 0.8 and after["dice"][0] > before["dice"][0] + 0.1 and after["folds"][0] == 0
    result = ds.register(model, *pair, refine=60)
    expected = refine_flow(model, *pair, predicted(model, *pair), steps=60)[0]
    np.testing.assert_allclose(result["flow"], expected, atol=1e-5)
    assert np.mean((result["warped"] - pair[1]) ** 2) < 0.2 * np.mean((pair[0] - pair[1]) ** 2)


def test_a_model_without_a_loss_is_refused(shifted):
    model = ds.models.registration_model(SHAPE, features=(2, 2))
    with pytest.raises(
        ValueError,
        match=r"this model has none: .* or is a VoxelMorph \.h5 file or a function\. Register",
    ):
        refine_flow(model, *shifted(), zero(), steps=1)


def test_with_integration_a_flow_of_another_origin_is_refused(integrating, shifted):
    with pytest.raises(
        ValueError, match=r"differs from the network's by up to [\d.]+ voxels\. Pass the flow that the model predicts"
    ):
        refine_flow(integrating, *shifted(), zero() + 9, steps=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"moving": np.zeros((8, 8, 1), "float32")},
            r"expects moving on the model's grid, \(18, 22, 1\)\. Received: moving\.shape=\(8, 8, 1\)",
        ),
        (
            {"flow": np.zeros((18, 22, 3), "float32")},
            r"expects flow on the model's grid, \(18, 22, 2\)\. Received: flow\.shape=\(18, 22, 3\)",
        ),
        ({"fixed": np.zeros((18, 22, 1), "uint8")}, "refine_flow expects float images.* fixed of type uint8"),
        ({"flow": np.full((18, 22, 2), np.nan)}, "Received: flow with 792 values that are NaN or infinite"),
        ({"steps": -1}, "steps of the refinement must be a whole number, 0 or more. Received: steps=-1"),
        ({"steps": 2.5}, "Received: steps=2.5"),
        ({"patience": 0}, "patience of the refinement must be a whole number, 1 or more"),
        ({"learning_rate": 0}, "learning_rate of the refinement must be a finite number above 0"),
        ({"tolerance": 1}, r"tolerance of the refinement must be in \[0, 1\)"),
    ],
)
def test_what_cannot_be_refined_is_refused_by_name(model, shifted, changes, message):
    moving, fixed = shifted()
    with pytest.raises(ValueError, match=message):
        refine_flow(model, **{"moving": moving, "fixed": fixed, "flow": zero(), "steps": 1, **changes})
