"""Images of several channels: every similarity measures each by itself and averages; see the references beside each."""

import numpy as np
import pytest

from deepsim_tf.losses import MIND, NMI, LocalNCC

SIMILARITIES = {
    "ncc": lambda **k: LocalNCC(5, **k),
    "nmi": lambda **k: NMI(16, fraction=1, **k),
    "nmi sampled": lambda **k: NMI(16, fraction=0.3, **k),
    "nmi own range": lambda **k: NMI(16, vmin=None, vmax=None, fraction=0.3, **k),
    "mind": lambda **k: MIND(1, 1, **k),
}
each = pytest.mark.parametrize("make", SIMILARITIES.values(), ids=SIMILARITIES.keys())
each_shape = pytest.mark.parametrize("shape", [(12, 13), (7, 8, 6)])


@each
@each_shape
@pytest.mark.parametrize("channels", [2, 3])
def test_the_value_is_the_mean_of_the_channels_alone(make, shape, channels, rng):
    fixed, warped = rng.random((2, *shape, channels)), rng.random((2, *shape, channels))
    weights = rng.random((2, *shape))
    loss = make(reduction=None, dtype="float64")
    for given in (None, weights):
        alone = [loss(fixed[..., [c]], warped[..., [c]], sample_weight=given) for c in range(channels)]
        np.testing.assert_allclose(loss(fixed, warped, sample_weight=given), np.mean(alone, 0), atol=1e-12)


@each
@each_shape
def test_the_order_of_the_channels_changes_nothing(make, shape, rng):
    fixed, warped = rng.random((2, *shape, 3)), rng.random((2, *shape, 3))
    loss = make(reduction=None, dtype="float64")
    np.testing.assert_allclose(loss(fixed[..., [2, 0, 1]], warped[..., [2, 0, 1]]), loss(fixed, warped), atol=1e-12)
    # but their pairing does
    assert np.abs(loss(fixed[..., [2, 0, 1]], warped) - loss(fixed, warped)).min() > 1e-6


@each
@pytest.mark.parametrize("channels", [2, 3])
def test_equal_channels_give_the_value_of_one(make, channels, rng):
    fixed, warped = rng.random((2, 12, 13, 1)), rng.random((2, 12, 13, 1))
    loss = make(reduction=None, dtype="float64")
    several = loss(np.repeat(fixed, channels, -1), np.repeat(warped, channels, -1))
    np.testing.assert_allclose(several, loss(fixed, warped), atol=1e-12)


@each
def test_an_image_of_a_batch_has_the_value_that_it_has_alone(make, rng):
    fixed, warped = rng.random((3, 12, 13, 2)), rng.random((3, 12, 13, 2))
    loss = make(reduction=None, dtype="float64")
    alone = [loss(fixed[[k]], warped[[k]])[0] for k in range(3)]
    np.testing.assert_allclose(loss(fixed, warped), alone, atol=1e-12)
