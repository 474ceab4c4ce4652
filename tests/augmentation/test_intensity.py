import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf.augmentation import Compose, RandomAffine, RandomBiasField, RandomGamma, RandomNoise
from deepsim_tf.augmentation.intensity import polynomial

TRANSFORMS = [RandomNoise(), RandomGamma(), RandomBiasField(), Compose([RandomGamma(), RandomNoise()])]
SHAPES = [(12, 15), (7, 8, 9)]


def batch(shape, texture, count=2):
    """The same image for every sample and role, so that all differences come from the transform."""
    image = tf.constant(np.repeat(texture(shape), count, axis=0) + 0.1)
    labels = tf.cast(image[..., 0] > 0.5, tf.int32)
    return {"moving": image, "fixed": image, "moving_labels": labels, "fixed_labels": labels}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_each_image_changes_on_its_own_and_labels_never(transform, shape, texture):
    data = batch(shape, texture)
    out = transform(data, (7, 8))
    assert list(out) == list(data) and [(v.shape, v.dtype) for v in out.values()] == [
        (v.shape, v.dtype) for v in data.values()
    ]
    images = [data["moving"][0], *out["moving"], *out["fixed"]]  # the original, two samples, two roles
    for i, one in enumerate(images):
        assert all(np.abs(one - other).max() > 1e-3 for other in images[:i])
    assert out["moving_labels"] is data["moving_labels"] and out["fixed_labels"] is data["fixed_labels"]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_equal_seeds_give_equal_draws_in_and_out_of_a_graph(transform, texture):
    data = batch((12, 15), texture)
    first, again, other = (
        transform(data, (3, 4)),
        tf.function(transform)(data, tf.constant([3, 4])),
        transform(data, (3, 5)),
    )
    np.testing.assert_allclose(first["fixed"], again["fixed"], atol=1e-6)
    assert np.abs(first["fixed"] - other["fixed"]).max() > 1e-3


def test_noise_has_the_moments_of_a_normal_distribution():
    noise = (
        RandomNoise(sigma=(0.2, 0.2))({"image": tf.fill((2, 200, 250, 1), 0.5)}, (1, 2))["image"].numpy().ravel() - 0.5
    )
    # Standard errors for 100 000 draws: mean 0.0006, sigma 0.0004, kurtosis 0.015.
    assert abs(noise.mean()) < 0.003 and abs(noise.std() - 0.2) < 0.002
    assert abs(np.mean((noise / 0.2) ** 4) - 3) < 0.08
    assert abs(np.corrcoef(noise[:50000], noise[50000:])[0, 1]) < 0.02  # two samples


def test_the_noises_sigma_is_uniform_over_its_range():
    sigma = (
        RandomNoise(sigma=(0.1, 0.3))({"image": tf.zeros((2000, 16, 16, 1))}, (1, 2))["image"]
        .numpy()
        .std(axis=(1, 2, 3))
    )
    np.testing.assert_allclose(np.quantile(sigma, [0.25, 0.5, 0.75]), [0.15, 0.2, 0.25], atol=0.01)
    assert 0.08 < sigma.min() < 0.11 and 0.29 < sigma.max() < 0.34


def test_gamma_is_numpys_power_with_the_sign_kept():
    x = np.array([-2.0, -0.25, 0.0, 0.25, 1.0, 2.0], "float32")
    out = RandomGamma(log_gamma=(0.5, 0.5))({"image": tf.constant(x.reshape(1, 2, 3, 1))}, (1, 2))["image"]
    np.testing.assert_allclose(np.ravel(out), np.sign(x) * np.abs(x) ** np.exp(0.5), atol=1e-6)


def test_gammas_exponent_is_log_uniform():
    out = RandomGamma(log_gamma=(-0.4, 0.8))({"image": tf.fill((2000, 1, 1, 1), 0.5)}, (1, 2))["image"].numpy().ravel()
    log_gamma = np.log(np.log(out) / np.log(0.5))
    np.testing.assert_allclose(np.quantile(log_gamma, [0, 0.25, 0.5, 0.75, 1]), [-0.4, -0.1, 0.2, 0.5, 0.8], atol=0.05)


@pytest.mark.parametrize("shape", [(9, 6), (4, 5, 6), (1, 5)])
def test_the_bias_field_is_numpys_polynomial(shape):
    ndim, transform = len(shape), RandomBiasField(coefficients=0.4, order=2)
    seed = tf.random.experimental.stateless_fold_in((1, 2), 0)  # of the first image
    coefficients = transform.sample(2, ndim, seed).numpy()
    image = np.random.default_rng(0).random((2, *shape, 3), "float32")
    out = transform({"image": tf.constant(image)}, (1, 2))["image"]
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    evaluate = np.polynomial.polynomial.polyval2d if ndim == 2 else np.polynomial.polynomial.polyval3d
    fields = np.stack([np.exp(evaluate(*axes, c)) for c in coefficients])
    np.testing.assert_allclose(out, image * fields[..., None], rtol=1e-5)


def test_the_bias_fields_coefficients_are_uniform_up_to_the_total_order():
    drawn = RandomBiasField(coefficients=0.5, order=3).sample(2000, 3, (1, 2)).numpy()
    degree = np.indices((4, 4, 4)).sum(0)
    assert (drawn[:, degree > 3] == 0).all() and drawn[:, degree <= 3].shape[1] == 20
    quantiles = np.quantile(drawn[:, degree <= 3], [0, 0.25, 0.75, 1], axis=0).T
    np.testing.assert_allclose(quantiles, np.tile([-0.5, -0.25, 0.25, 0.5], (20, 1)), atol=0.05)


def test_a_polynomial_by_hand():
    # 2 + 3 v - u v at the four corners (u, v) = (+-1, +-1)
    values = polynomial(tf.constant([[[2.0, 3.0], [0.0, -1.0]]]), (2, 2))
    np.testing.assert_array_equal(values, [[[2 - 3 - 1, 2 + 3 + 1], [2 - 3 + 1, 2 + 3 - 1]]])


@pytest.mark.parametrize(
    "transform", [RandomNoise(sigma=(0, 0)), RandomGamma(log_gamma=(0, 0)), RandomBiasField(coefficients=0)], ids=repr
)
def test_ranges_of_zero_are_the_identity(transform, texture):
    data = batch((12, 15), texture)
    data["moving"] -= 0.5  # negative values too
    for key, value in transform(data, (3, 4)).items():
        np.testing.assert_array_equal(value, data[key])


def test_composing_is_applying_in_order_with_folded_seeds(texture):
    data, first, second = batch((12, 15), texture), RandomGamma(), RandomNoise()
    seeds = [tf.random.experimental.stateless_fold_in((1, 2), k) for k in range(2)]
    by_hand = second(first(data, seeds[0]), seeds[1])
    np.testing.assert_array_equal(Compose([first, second])(data, (1, 2))["moving"], by_hand["moving"])
    # The same transform twice draws twice.
    noise = Compose([RandomNoise(sigma=(1, 1))] * 2)({"image": tf.zeros((1, 100, 100, 1))}, (1, 2))["image"]
    assert abs(np.std(noise) - np.sqrt(2)) < 0.05  # 2 if the two were equal


@pytest.mark.parametrize("shape", SHAPES)
def test_a_pipeline_with_an_unknown_batch_size_runs_all_of_them(shape, texture):
    data = batch(shape, texture, count=3)
    augment = Compose([RandomAffine(), RandomBiasField(), RandomGamma(), RandomNoise()])
    dataset = (
        tf.data.Dataset.from_tensor_slices(data)
        .batch(2)
        .map(lambda tensors: augment(tensors, (1, 2)), num_parallel_calls=2)
    )
    assert dataset.element_spec["moving"].shape.as_list() == [None, *shape, 1]
    full, rest = dataset
    assert full["moving"].shape == (2, *shape, 1) and rest["fixed_labels"].shape == (1, *shape)
    np.testing.assert_array_equal(full["moving"], next(iter(dataset))["moving"])


def test_representations_are_the_calls_that_make_them():
    augment = Compose([RandomNoise(sigma=(0, 1)), RandomGamma(), RandomBiasField(order=2)])
    assert (
        repr(augment)
        == "Compose([RandomNoise(sigma=(0, 1)), RandomGamma(log_gamma=(-0.3, 0.3)), RandomBiasField(coefficients=0.3,"
        " order=2)])"
    )
    assert repr(eval(repr(augment))) == repr(augment)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (
            RandomNoise,
            {"sigma": 0.1},
            r"sigma must be a pair \(least, largest\) with 0 <= least <= largest. Received: sigma=0.1",
        ),
        (RandomNoise, {"sigma": (-0.1, 0.1)}, r"sigma must be a pair .* Received: sigma=\(-0.1, 0.1\)"),
        (RandomNoise, {"sigma": (0, float("nan"))}, r"sigma must be a pair .* Received: sigma=\(0, nan\)"),
        (
            RandomGamma,
            {"log_gamma": (0.3, -0.3)},
            r"log_gamma must be a pair \(least, largest\) with least <= largest. Received: log_gamma=",
        ),
        (RandomGamma, {"log_gamma": ("a", 1)}, "log_gamma must be a pair .* Received: log_gamma="),
        (RandomBiasField, {"coefficients": -0.3}, "coefficients must be a number from 0. Received: coefficients=-0.3"),
        (RandomBiasField, {"coefficients": True}, "coefficients must be a number from 0. Received: coefficients=True"),
        (RandomBiasField, {"order": 2.0}, "order must be an integer from 0 to 10. Received: order=2.0"),
        (RandomBiasField, {"order": 11}, "order must be an integer from 0 to 10. Received: order=11"),
        (
            Compose,
            {"transforms": []},
            r"transforms must be a list of one or more callables .* Received: transforms=\[\]",
        ),
        (Compose, {"transforms": ["noise"]}, r"transforms must be a list .* Received: transforms=\['noise'\]"),
        (Compose, {"transforms": RandomNoise()}, "transforms must be a list .* Received: transforms=RandomNoise"),
    ],
)
def test_an_argument_outside_its_range_is_named(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_tensors_that_are_no_images_are_refused():
    with pytest.raises(
        ValueError, match=r"Expected at least one image, a key that does not end in 'labels'. Received: \['labels'\]"
    ):
        RandomNoise()({"labels": tf.zeros((1, 8, 8), tf.int32)}, (0, 1))
    with pytest.raises(
        ValueError,
        match=r"mask must be \(batch, \*spatial, channels\), float.* Received: shape=\(1, 8, 8, 1\), dtype=int32",
    ):
        RandomGamma()({"mask": tf.zeros((1, 8, 8, 1), tf.int32)}, (0, 1))
    with pytest.raises(
        ValueError, match=r"image must be .* with 2 or 3 spatial axes. Received: shape=\(8, 8, 1\), dtype=float32"
    ):
        RandomBiasField()({"image": tf.zeros((8, 8, 1))}, (0, 1))
