"""The loss of a registration: sums of terms with factors, masks, labels as guidance, names."""

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from deepsim_tf.registration.objective import objective
from deepsim_tf.registration.prediction import Pair, Prediction

SHAPE = (12, 14)


@pytest.fixture
def case(texture):
    """A pair, and a flow of one voxel along the first axis: the warped image is the moving one, one row up."""
    moving, fixed = texture(SHAPE, count=2)
    flow = np.zeros((1, *SHAPE, 2), np.float32)
    flow[..., 0] = 1
    warped = np.concatenate([moving[1:], moving[-1:]])  # beyond the border its value continues
    return (
        Pair(moving=moving[None], fixed=fixed[None]),
        Prediction(flow=flow),
        warped.astype(float),
        fixed.astype(float),
    )


def test_the_loss_is_the_sum_of_all_terms_with_their_factors_and_weights(case):
    pair, prediction, _, fixed = case
    terms = objective(
        [("mse", 2.0), (keras.losses.MeanAbsoluteError(), 0.5)],
        [(ds.losses.Diffusion(), 1.0), (ds.losses.BendingEnergy(), 3.0)],
        0.25,
    )
    prediction = Prediction(flow=prediction.flow + np.linspace(0, 1, 12, dtype=np.float32)[:, None, None] ** 2)
    field = prediction.flow.astype(float)
    found = {name: float(value) for name, value in terms.terms(pair, prediction).items()}
    at = np.indices(SHAPE) + np.moveaxis(field[0], -1, 0)
    warped = map_coordinates(pair.moving[0, ..., 0].astype(float), at, order=1, mode="nearest")
    difference = warped - fixed[..., 0]
    assert found["similarity_mean_squared_error"] == pytest.approx(np.mean(difference**2), rel=1e-4)
    assert found["similarity_mean_absolute_error"] == pytest.approx(np.mean(np.abs(difference)), rel=1e-4)
    expected = 2 * np.mean(difference**2) + 0.5 * np.mean(np.abs(difference))
    assert found["similarity"] == pytest.approx(expected, rel=1e-4)
    diffusion = np.mean([np.mean(np.diff(field, axis=axis) ** 2) for axis in (1, 2)])
    assert found["regularizer_diffusion"] == pytest.approx(diffusion, rel=1e-4)
    bending = float(ds.losses.bending_energy(field)[0])
    assert found["regularizer"] == pytest.approx(diffusion + 3 * bending, rel=1e-4)
    assert found["loss"] == pytest.approx(found["similarity"] + 0.25 * found["regularizer"], rel=1e-6)
    assert set(terms.names) == set(found) - {"loss"}


def test_a_single_loss_is_measured_on_the_warped_image(case):
    pair, prediction, warped, fixed = case
    found = objective("mse").terms(pair, prediction)
    assert set(found) == {"loss", "similarity", "regularizer"} and float(found["regularizer"]) == 0
    assert float(found["loss"]) == pytest.approx(np.mean((warped - fixed) ** 2), rel=1e-5)


@pytest.mark.parametrize("similarity", ["mse", "ncc"])
def test_masks_leave_voxels_out_and_the_moving_one_moves_with_its_image(case, similarity):
    pair, prediction, warped, fixed = case
    fixed_mask = np.ones((1, *SHAPE), np.float32)
    fixed_mask[:, :, 7:] = 0
    moving_mask = np.ones((1, *SHAPE), np.float32)
    moving_mask[:, 3] = 0  # after the warp this is row 2
    masked = Pair(moving=pair.moving, fixed=pair.fixed, moving_mask=moving_mask, fixed_mask=fixed_mask)
    loss = "mse" if similarity == "mse" else ds.losses.LocalNCC(3)
    found = float(objective(loss).terms(masked, prediction)["similarity"])
    counted = fixed_mask[0] * np.concatenate([moving_mask[0, 1:], moving_mask[0, -1:]])
    if similarity == "mse":
        expected = np.sum(counted[..., None] * (warped - fixed) ** 2) / counted.sum()
    else:
        expected = float(ds.losses.LocalNCC(3)(fixed[None], warped[None], sample_weight=counted[None]))
    assert found == pytest.approx(expected, rel=1e-5)
    assert abs(found - float(objective(loss).terms(pair, prediction)["similarity"])) > 1e-4


def test_labels_guide_by_their_warped_one_hot_maps(case):
    pair, prediction, _, _ = case
    labels = np.random.default_rng(0).integers(0, 3, (2, 1, *SHAPE))
    guided = Pair(moving=pair.moving, fixed=pair.fixed, moving_labels=labels[0], fixed_labels=labels[1])
    terms = objective("mse", supervised="mse", supervised_weight=2.0, classes=3).terms(guided, prediction)
    moved = np.concatenate([labels[0][:, 1:], labels[0][:, -1:]], axis=1)
    expected = np.mean((np.eye(3)[moved] - np.eye(3)[labels[1]]) ** 2)
    assert float(terms["supervised"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["loss"]) == pytest.approx(float(terms["similarity"]) + 2 * expected, rel=1e-5)


def test_a_list_of_losses_trains_is_reported_by_name_and_survives_a_file(pair, extractor, tmp_path):
    images, _ = pair()
    model = ds.models.registration_model((16, 20), features=(4, 8))
    similarity = [(ds.losses.LocalNCC(5), 1.0), (ds.losses.DeepSim(extractor), 5.0)]
    model.compile("adam", similarity, regularizer=ds.losses.Diffusion(), weight=0.1)
    history = model.fit(images, batch_size=2, verbose=0).history
    assert {"loss", "similarity", "similarity_local_ncc", "similarity_deepsim", "regularizer"} == set(history)
    found = model.evaluate(images, batch_size=2, verbose=0, return_dict=True)
    expected = found["similarity_local_ncc"] + 5 * found["similarity_deepsim"]
    assert found["similarity"] == pytest.approx(expected, rel=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.evaluate(images, batch_size=2, verbose=0, return_dict=True) == pytest.approx(found, rel=1e-5)
    for one, other in zip(again.objective().semantic.extractor.get_weights(), extractor.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("similarity", "message"),
    [
        ([], "similarity is an empty list"),
        (["mse"], r"similarity as a list holds \(loss, factor\), each. Received: 'mse'"),
        ([("mse", -1)], "factor of similarity must be a finite number, 0 or more. Received: factor of similarity=-1"),
        ([("msse", 1)], "Unknown similarity 'msse'. Available: mse, ncc, nmi, mind, mae"),
        (None, "similarity must be a keras.losses.Loss"),
        ([(np.mean, 1)], "similarity must be a keras.losses.Loss"),
    ],
)
def test_what_is_no_list_of_losses_is_refused(similarity, message):
    with pytest.raises(ValueError, match=message):
        objective(similarity)
