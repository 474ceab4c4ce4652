import deepsim_tf as ds  # isort: skip
import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates
from test_affine import turned

from deepsim_tf.grids.sampling import sample_at
from deepsim_tf.layers import voxel_grid
from deepsim_tf.registration import Pair
from deepsim_tf.registration.pairwise.descent import Descent


def smooth_flow(shape, size, seed=1):
    """A smooth random displacement of at most `size` voxels, zero at the border."""
    rng = np.random.default_rng(seed)
    flow = np.stack([gaussian_filter(rng.normal(size=shape), min(shape) / 6) for _ in shape], axis=-1)
    window = np.prod(np.meshgrid(*[np.hanning(n) for n in shape], indexing="ij"), axis=0)
    flow = flow * window[..., None]
    return (flow * size / np.linalg.norm(flow, axis=-1).max()).astype(np.float32)


def moved(image, flow):
    points = voxel_grid(flow.shape[:-1]).numpy() + flow
    return map_coordinates(image, np.moveaxis(points, -1, 0), order=1, mode="nearest").astype(np.float32)


def pair_of(shape, size=3, seed=0):
    """A moving and a fixed image, and the flow that takes the one to the other."""
    rng = np.random.default_rng(seed)
    moving = gaussian_filter(rng.normal(size=shape), 1.5)
    moving = ((moving - moving.min()) / np.ptp(moving)).astype(np.float32)
    flow = smooth_flow(shape, size, seed + 1)
    return moving, moved(moving, flow), flow


def error(found, flow):
    return np.linalg.norm(found - flow, axis=-1)


# The default would smooth the gradient over half of the small volume.
@pytest.mark.parametrize(("shape", "size", "smoothing"), [((64, 80), 4, 1.5), ((28, 32, 24), 6, 0.5)])
def test_a_known_smooth_flow_is_found(shape, size, smoothing):
    moving, fixed, flow = pair_of(shape, size)
    result = ds.register(ds.PairwiseOptimizer(transform="deformable", weight=0.3, smoothing=smoothing), moving, fixed)
    assert error(result["flow"], flow).mean() < 0.25 * error(0, flow).mean()
    assert ds.metrics.folding_fraction(result["flow"]) == 0
    np.testing.assert_array_equal(result["affine"], np.eye(len(shape) + 1))


def test_an_affine_map_and_a_flow_are_found_together_on_grids_of_unequal_size():
    moving, _, flow = pair_of((72, 80), 3)
    truth = turned((72, 80), 12, 1.05, [5, -4])
    fixed = affine_transform(moved(moving, flow), truth[:-1, :-1], truth[:-1, -1], order=1)[4:-6, 8:]
    result = ds.register(ds.PairwiseOptimizer(), moving, fixed)
    assert result["flow"].shape == (62, 72, 2) and result["inverse_flow"].shape == (72, 80, 2)
    inside = (slice(8, -8),) * 2
    before = np.corrcoef(moving[4:-6, 8:][inside].ravel(), fixed[inside].ravel())[0, 1]
    after = np.corrcoef(result["warped"][..., 0][inside].ravel(), fixed[inside].ravel())[0, 1]
    assert before < 0.3 and after > 0.97


def test_the_inverse_leads_back():
    moving, fixed, _ = pair_of((64, 80), 4)
    result = ds.register(ds.PairwiseOptimizer(), moving, fixed)
    points = voxel_grid(fixed.shape).numpy() + result["flow"]
    back = points + sample_at(result["inverse_flow"], points) - voxel_grid(fixed.shape).numpy()
    inside = ((points >= 2) & (points <= np.array(moving.shape) - 3)).all(axis=-1)
    apart = np.linalg.norm(back[inside], axis=-1)  # with what linear interpolation between the voxels costs
    assert inside.mean() > 0.8 and np.percentile(apart, 99.5) < 0.1 and apart.max() < 0.15


def test_without_integration_there_is_no_inverse():
    moving, fixed, flow = pair_of((40, 48), 1.5)
    optimizer = ds.PairwiseOptimizer(transform="deformable", int_steps=0)
    result = ds.register(optimizer, moving, fixed)
    assert result["inverse_flow"] is None
    assert error(result["flow"], flow).mean() < 0.5 * error(0, flow).mean()


@pytest.mark.parametrize("kind", ["identical", "constant"])
def test_identical_and_constant_images_get_no_flow(kind):
    image = pair_of((40, 48))[0] if kind == "identical" else np.full((40, 48), 0.5, np.float32)
    result = ds.register(ds.PairwiseOptimizer(), image, image)
    np.testing.assert_array_equal(result["flow"], 0)
    np.testing.assert_array_equal(result["warped"][..., 0], image)


def test_the_same_pair_gives_the_same_result_alone_in_a_batch_and_again():
    optimizer = ds.PairwiseOptimizer(steps=4)
    pairs = [pair_of((40, 48), seed=seed)[:2] for seed in (0, 5)]
    alone = [ds.register(optimizer, *pair)["flow"] for pair in pairs]
    moving, fixed = (np.stack(images)[..., None] for images in zip(*pairs, strict=True))
    together = optimizer.solve(Pair(moving=moving, fixed=fixed))
    np.testing.assert_array_equal(together.flow, alone)
    np.testing.assert_array_equal(ds.register(ds.PairwiseOptimizer(steps=4), *pairs[0])["flow"], alone[0])


def test_pairs_of_other_sizes_are_not_traced_again():
    optimizer = ds.PairwiseOptimizer(transform="deformable", steps=1)
    for shape in ((40, 48), (36, 56), (64, 64)):
        ds.register(optimizer, *pair_of(shape)[:2])
    assert optimizer.deformable_stage.descent.graphs == 1


def test_a_graph_for_any_size_has_the_numbers_of_one_for_this_size():
    moving, fixed, _ = pair_of((40, 48))
    optimizer = ds.PairwiseOptimizer("ncc", transform="deformable")
    stage = optimizer.deformable_stage
    tensors = {"moving": tf.constant(moving[None, ..., None]), "fixed": tf.constant(fixed[None, ..., None])}
    velocity = tf.constant(smooth_flow((20, 24), 1.0)[None])
    state = tf.zeros_like(velocity), tf.zeros_like(velocity)
    results = [
        Descent(stage.descent.objective, stage._flow_of, any_size=any_size).step(tensors, velocity, state, 1, 0.1)
        for any_size in (False, True)
    ]
    for one, other in zip(*(tf.nest.flatten(result) for result in results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_what_a_mask_leaves_out_has_no_part():
    moving, fixed, _ = pair_of((48, 56))
    spoilt = fixed.copy()
    spoilt[16:28, 20:32] = np.random.default_rng(9).random((12, 12))
    mask = np.ones(fixed.shape, bool)
    mask[16:28, 20:32] = False
    other = spoilt.copy()
    other[18:26, 22:30] = 0  # inside the mask, farther from its edge than the similarity looks
    optimizer = ds.PairwiseOptimizer("mse", weight=0.01, transform="deformable", steps=10)
    flows = [ds.register(optimizer, moving, image, fixed_mask=mask)["flow"] for image in (spoilt, other)]
    np.testing.assert_allclose(*flows, atol=1e-4)
    assert np.abs(ds.register(optimizer, moving, spoilt)["flow"] - flows[0]).max() > 0.2


def test_two_similarities_are_summed_and_named_in_what_is_told():
    moving, fixed, _ = pair_of((40, 48))
    optimizer = ds.PairwiseOptimizer([("ncc", 1.0), ("mse", 5.0)], weight=0.5, transform="deformable", steps=3)
    told = optimizer.solve(Pair(moving=moving[None, ..., None], fixed=fixed[None, ..., None])).extra["optimization"][0]
    last = told["deformable"][-1]
    assert last["grid"] == [40, 48] and last["best"] > 0
    total = last["similarity_local_ncc"][0] + 5 * last["similarity_mean_squared_error"][0]
    assert last["similarity"][0] == pytest.approx(total, rel=1e-5)
    assert last["loss"][0] == pytest.approx(last["similarity"][0] + 0.5 * last["regularizer"][0], rel=1e-5)


def test_features_of_a_network_are_compared_at_full_size():
    segmentation = ds.models.segmentation_model((32, 32), 2, features=(4, 4))
    extractor = ds.models.FeatureExtractor.from_model(segmentation)
    moving, fixed, flow = pair_of((32, 32), 1.5)
    for warp in ("image", "features"):
        optimizer = ds.PairwiseOptimizer(ds.losses.DeepSim(extractor, warp=warp), weight=0.05, levels=2, steps=15)
        result = ds.register(optimizer, moving, fixed)
        assert error(result["flow"], flow).mean() < error(0, flow).mean()


def test_evaluate_measures_it_as_any_solver():
    images = ds.data.synthetic("platelet", "test", size=(48, 48), count=2, noise=0.02)
    table = ds.evaluate(ds.PairwiseOptimizer(transform="deformable", steps=10), images, quick=True, verbose=0)
    identity = ds.evaluate(None, images, quick=True, verbose=0)
    assert table["dice"].mean() > identity["dice"].mean()


BAD = {
    "transform": (
        {"transform": "spline"},
        "Unknown transform 'spline'. Available: translation, rigid, affine, deformable",
    ),
    "levels": ({"levels": 0}, "levels must be a whole number, 1 or more. Received: levels=0"),
    "steps": ({"steps": [10, 10]}, "steps must be one number, or one for each of 3 levels"),
    "negative steps": ({"steps": -1}, "steps must be a whole number, 0 or more"),
    "int_steps": ({"int_steps": 2.5}, "int_steps must be a whole number"),
    "resolution": ({"resolution": 0}, "resolution must be a finite number above 0"),
    "learning_rate": ({"learning_rate": float("nan")}, "learning_rate must be a finite number above 0"),
    "smoothing": ({"smoothing": -1}, "smoothing must be a finite number, 0 or more"),
    "similarity": ({"similarity": "deepsim"}, "needs more than a name"),
    "weight": ({"weight": -1.0}, "weight of the regulariser must be a finite number"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused_by_name(case):
    settings, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        ds.PairwiseOptimizer(**settings)


def test_bad_pairs_are_refused_by_name():
    optimizer, image = ds.PairwiseOptimizer(), np.zeros((24, 24), np.float32)
    with pytest.raises(ValueError, match="one dimension and number of channels"):
        ds.register(optimizer, np.zeros((24, 24, 2), np.float32), image)
    with pytest.raises(ValueError, match="fixed_mask must have the shape of its image"):
        ds.register(optimizer, image, image, fixed_mask=np.ones((3, 3)))
    with pytest.raises(ValueError, match="some above 0"):
        ds.register(optimizer, image, image, moving_mask=np.zeros((24, 24)))
    with pytest.raises(ValueError, match="minimises its loss on the pair already"):
        ds.register(optimizer, image, image, refine=5)
    with pytest.raises(ValueError, match="moving_mask is for a ds.PairwiseOptimizer"):
        ds.register(None, image, image, moving_mask=np.ones((24, 24)))
