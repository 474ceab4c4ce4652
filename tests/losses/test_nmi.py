import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import kstest
from skimage.metrics import normalized_mutual_information

from deepsim_tf.losses import NMI, nmi
from deepsim_tf.losses.nmi import _mixed, _uniform


def quantised(rng, bins, shape=(2, 20, 21, 1)):
    """Images whose intensities are centres of bins of [0, 1], and the numbers of the bins."""
    numbers = rng.integers(0, bins, shape)
    return (numbers + 0.5) / bins, numbers


def reference(fixed, warped, bins, fwhm=1.0, weights=None):
    """2 - NMI of two lists of intensities in [0, 1], voxel by voxel in NumPy."""
    centres, sigma = (np.arange(bins) + 0.5) / bins, fwhm / bins / 2.3548200450309493
    joint = np.zeros((bins, bins))
    weights = np.ones(fixed.size) if weights is None else weights.ravel()
    for a, b, w in zip(fixed.ravel(), warped.ravel(), weights / weights.sum()):
        shares = [np.exp(-((x - centres) ** 2) / (2 * sigma**2)) for x in (a, b)]
        joint += w * np.outer(*[s / s.sum() for s in shares])
    h = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in (joint.sum(1), joint.sum(0), joint)]
    return 2 - (h[0] + h[1]) / h[2]


@pytest.mark.parametrize("shape", [(9, 11), (5, 6, 4)])
@pytest.mark.parametrize("bins, fwhm", [(8, 1.0), (64, 1.0), (16, 2.5)])
def test_nmi_is_a_loop_over_voxels(shape, bins, fwhm, rng):
    fixed, warped = rng.random((2, *shape, 1)), rng.random((2, *shape, 1))
    expected = [reference(fixed[k], warped[k], bins, fwhm) for k in range(2)]
    np.testing.assert_allclose(nmi(fixed, warped, bins=bins, fraction=1, fwhm=fwhm), expected, atol=1e-12)
    loss = NMI(bins, fraction=1, fwhm=fwhm, reduction=None)(fixed.astype("float32"), warped.astype("float32"))
    np.testing.assert_allclose(loss, expected, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_each_channel_has_a_histogram_and_their_values_are_averaged(channels, weighted, rng):
    fixed, warped = rng.random((2, 9, 8, channels)), rng.random((2, 9, 8, channels))
    weights = rng.random((2, 9, 8)) if weighted else [None, None]
    expected = [
        np.mean([reference(fixed[k, ..., c], warped[k, ..., c], 8, weights=weights[k]) for c in range(channels)])
        for k in range(2)
    ]
    found = nmi(fixed, warped, bins=8, fraction=1, weights=weights if weighted else None)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_channels_that_agree_under_different_contrasts_are_not_pooled(rng):
    # One histogram of both channels would see each intensity beside two others, and score far from 0.
    fixed, _ = quantised(rng, 8)
    both, other = np.concatenate([fixed, fixed], -1), np.concatenate([fixed, 1 - fixed], -1)
    np.testing.assert_allclose(nmi(both, other, bins=8, fraction=1, fwhm=0.1), [0, 0], atol=1e-9)


def test_each_channel_and_image_has_a_range_of_its_own(rng):
    fixed, warped = rng.random((2, 9, 8, 2)), rng.random((2, 9, 8, 2))
    scales = np.array([[1.0, 5.0], [0.2, 30.0]]).reshape(2, 1, 1, 2)
    options = {"bins": 8, "vmin": None, "vmax": None, "fraction": 1}
    np.testing.assert_allclose(nmi(fixed, scales * warped, **options), nmi(fixed, warped, **options), atol=1e-9)


def test_the_range_of_intensities_is_that_of_the_voxels_that_count(rng):
    fixed, warped, weights = rng.random((1, 9, 8, 1)), rng.random((1, 9, 8, 1)), np.ones((1, 9, 8))
    weights[:, 4:] = 0
    options = {"bins": 8, "vmin": None, "vmax": None}
    expected = nmi(fixed[:, :4], warped[:, :4], fraction=1, **options)
    warped[:, 4:] *= 100
    np.testing.assert_allclose(nmi(fixed, warped, fraction=1, weights=weights, **options), expected, atol=1e-9)


def test_drawn_numbers_are_uniform_and_independent_of_one_another():
    keys = tf.constant([0, 1, -1, 2**62], tf.int64)
    drawn = _uniform(3, keys, 20000).numpy()
    assert drawn.shape == (4, 20000) and drawn.min() >= 0 and drawn.max() < 1
    for line in drawn:  # Kolmogorov-Smirnov: 1.63 / sqrt(n) is passed by one sample of a hundred
        assert kstest(line, "uniform").statistic < 2 / np.sqrt(20000)
    correlations = np.corrcoef(np.concatenate([drawn[:, 1:], drawn[:, :-1]]))[np.triu_indices(8, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(20000)
    assert not np.array_equal(drawn, _uniform(4, keys, 20000))


def test_the_first_outputs_are_those_of_splitmix64():
    # Published with the generator (Vigna's splitmix64.c, seed 1234567).
    state, found = 1234567, []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        found.append(int(_mixed(tf.constant(state - 2**64 * (state >= 2**63), tf.int64))) % 2**64)
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("bins", [4, 16])
def test_narrow_windows_give_scikit_images_value(bins, rng):
    fixed, numbers = quantised(rng, bins)
    warped = (
        np.where(rng.random(numbers.shape) < 0.7, bins - 1 - numbers, rng.integers(0, bins, numbers.shape)) + 0.5
    ) / bins
    expected = [2 - normalized_mutual_information(fixed[k], warped[k], bins=bins) for k in range(2)]
    np.testing.assert_allclose(nmi(fixed, warped, bins=bins, fraction=1, fwhm=0.1), expected, atol=1e-9)
    assert 0.2 < expected[0] < 0.9


def test_nmi_is_symmetric_also_on_a_sample(rng):
    a, b = rng.random((2, 20, 20, 1)), rng.random((2, 20, 20, 1))
    for fraction in (0.1, 1):
        np.testing.assert_allclose(nmi(a, b, fraction=fraction), nmi(b, a, fraction=fraction), atol=1e-12)


def test_an_inverted_contrast_costs_nothing(texture):
    image = texture((32, 32)).astype("float64")
    np.testing.assert_allclose(nmi(image, 1 - image, fraction=1), nmi(image, image, fraction=1), atol=1e-9)


def test_equal_images_score_best_and_independent_ones_near_1(texture, rng):
    image = texture((64, 64), smooth=1.0)
    values = [
        float(nmi(image, other, bins=16, fraction=1)[0])
        for other in (image, np.roll(image, 1, 1), np.roll(image, 20, 1))
    ]
    assert values[0] < values[1] < values[2] and values[2] > 0.9
    fixed, _ = quantised(rng, 8)
    np.testing.assert_allclose(nmi(fixed, 1 - fixed, bins=8, fraction=1, fwhm=0.1), [0, 0], atol=1e-9)


def test_intensities_beyond_the_range_are_its_end_and_none_is_the_range_of_the_image(rng):
    fixed, warped = rng.random((1, 16, 16, 1)), 2 * rng.random((1, 16, 16, 1)) - 0.5
    np.testing.assert_allclose(
        nmi(fixed, warped, fraction=1), nmi(fixed, np.clip(warped, 0, 1), fraction=1), atol=1e-12
    )
    scaled = (warped - warped.min()) / np.ptp(warped)
    own = nmi(fixed, warped, vmin=None, vmax=None, fraction=1)
    np.testing.assert_allclose(own, nmi((fixed - fixed.min()) / np.ptp(fixed), scaled, fraction=1), atol=1e-9)


def test_a_sample_estimates_the_value_of_all_voxels(texture):
    fixed, warped = (
        texture((64, 64), smooth=1.0),
        texture((64, 64), seed=1, smooth=1.0) * 0.2 + texture((64, 64), smooth=1.0) * 0.8,
    )
    whole = nmi(fixed, warped, bins=8, fraction=1)
    parts = [nmi(fixed, warped, bins=8, fraction=0.25, seed=seed)[0] for seed in range(10)]
    np.testing.assert_allclose(np.mean(parts), whole, atol=0.02)
    assert len({float(p) for p in parts}) == 10  # another seed, another sample


def test_the_sample_changes_with_the_warped_image_and_repeats_with_it(rng):
    fixed, warped = rng.random((1, 32, 32, 1), "float32"), rng.random((1, 32, 32, 1), "float32")

    def sampled(image):
        image = tf.constant(image)
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = NMI()(fixed, image)
        return set(np.flatnonzero(tape.gradient(loss, image)))

    first, again, other = sampled(warped), sampled(warped), sampled(np.nextafter(warped, 2))
    assert first == again and len(first) <= 102 and len(first & other) < 40
    assert all(
        len([p for p in first if 100 * k <= p < 100 * (k + 1)]) <= 11 for k in range(10)
    )  # spread over the image


def test_all_voxels_take_part_once_with_a_fraction_of_one_half(rng):
    # one of every two successive voxels: pairs of equal voxels give the value of all
    image = np.repeat(rng.random((1, 8, 8, 1)), 2, axis=2)
    other = np.repeat(rng.random((1, 8, 8, 1)), 2, axis=2)
    np.testing.assert_allclose(nmi(image, other, fraction=0.5), nmi(image, other, fraction=1), atol=1e-12)


def test_the_gradient_is_that_of_finite_differences(rng):
    fixed, warped, direction, step = (
        rng.random((1, 7, 8, 1)),
        tf.constant(rng.random((1, 7, 8, 1))),
        rng.normal(size=(1, 7, 8, 1)),
        1e-7,
    )
    with tf.GradientTape() as tape:
        tape.watch(warped)
        loss = nmi(fixed, warped, bins=8, fraction=1)
    ends = [nmi(fixed, warped + sign * step * direction, bins=8, fraction=1)[0] for sign in (1, -1)]
    np.testing.assert_allclose(
        tf.reduce_sum(tape.gradient(loss, warped) * direction), (ends[0] - ends[1]) / (2 * step), rtol=1e-5
    )


@pytest.mark.parametrize("fwhm", [0.1, 1.0])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0, 5.0])
def test_constant_images_score_1_with_a_finite_gradient(value, fwhm):
    flat = tf.fill((1, 20, 20, 1), value)
    with tf.GradientTape() as tape:
        tape.watch(flat)
        loss = NMI(fwhm=fwhm)(tf.ones_like(flat), flat)
    np.testing.assert_allclose(loss, 1, atol=1e-4)
    assert np.all(np.isfinite(tape.gradient(loss, flat)))


def test_a_histogram_of_all_pairs_of_voxels_and_bins_is_never_made():
    # 64^3 voxels x 64 x 64 bins would be 4 GiB; the fraction of 1 / 100 makes it quick
    volume = tf.random.uniform((1, 64, 64, 64, 1))
    assert 0.8 < NMI(fraction=0.01)(volume, volume[:, ::-1]) <= 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"bins": 1}, "bins must be a whole number, 2 or more. Received: bins=1"),
        ({"bins": 6.5}, "bins must be a whole number, 2 or more. Received: bins=6.5"),
        ({"vmin": 1.0}, "vmin must be below vmax; None takes the range of each image. Received: vmin=1.0, vmax=1.0"),
        ({"fraction": 0.0}, "fraction of the voxels must be above 0 and at most 1. Received: fraction=0.0"),
        ({"fraction": 10}, "fraction of the voxels must be above 0 and at most 1. Received: fraction=10"),
        ({"seed": None}, "seed must be a whole number. Received: seed=None"),
        ({"fwhm": 0}, "fwhm must be above 0, in bins. Received: fwhm=0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        NMI(**arguments)


def test_the_config_makes_the_same_loss(rng):
    loss = NMI(32, None, 2.0, 0.5, 7, fwhm=1.5, name="mine", reduction="sum")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(copy) is NMI and copy.get_config() == loss.get_config()
    images = rng.random((2, 8, 8, 1), "float32"), rng.random((2, 8, 8, 1), "float32")
    np.testing.assert_array_equal(copy(*images), loss(*images))
