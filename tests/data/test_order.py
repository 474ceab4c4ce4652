"""The order of the batches: what the pipelines yield, told without reading an image."""

import deepsim_tf as ds  # isort: skip
import numpy as np
import pytest
from numbered import numbered, seen

from deepsim_tf.data import ImageSet
from deepsim_tf.data.order import image_order, pair_order

ORDERS = {
    ds.data.segmentation_dataset: image_order,
    ds.data.autoencoder_dataset: image_order,
    ds.data.registration_dataset: pair_order,
}
each = pytest.mark.parametrize("dataset", ORDERS, ids=lambda dataset: dataset.__name__)


@each
@pytest.mark.parametrize(("epoch", "batch"), [(0, 0), (0, 2), (1, 1), (3, 2), (2, 5)])
def test_a_stream_yields_the_batches_of_the_order_from_any_batch_of_any_epoch_on(dataset, epoch, batch):
    data = numbered()  # 7 images in batches of 2: three in an epoch, and one image left out
    order = ORDERS[dataset](data, 2, training=True, seed=5)
    stream = dataset(data, 2, training=True, seed=5, first_epoch=epoch, first_batch=batch)
    first = 3 * epoch + batch
    assert seen(stream.take(7)) == [order.batch(step).tolist() for step in range(first, first + 7)]


@each
@pytest.mark.parametrize("training", [True, False])
def test_iteration_n_over_a_finite_dataset_is_epoch_n_of_the_order(dataset, training):
    data = numbered()
    order, finite = ORDERS[dataset](data, 3, training=training, seed=1), dataset(data, 3, training=training, seed=1)
    for epoch in range(3):
        steps = range(epoch * len(order), (epoch + 1) * len(order))
        assert seen(finite) == [order.batch(step).tolist() for step in steps]
    assert len(finite) == len(order)


def test_an_order_tells_the_images_of_an_epoch():
    # Expected: NumPy's own permutation under the seed (seed, epoch).
    order = image_order(numbered(), 2, training=True, seed=5)
    for epoch in (0, 4, 1):
        np.testing.assert_array_equal(order.epoch(epoch)[:, 0], np.random.default_rng([5, epoch]).permutation(7))
    np.testing.assert_array_equal(image_order(numbered(), 2, training=False).epoch(3)[:, 0], range(7))


def test_an_epoch_of_pairs_has_each_moving_image_once_with_one_of_its_partners():
    data = numbered()
    order = pair_order(data, 2, training=True)
    drawn = [order.epoch(epoch).tolist() for epoch in range(20)]
    for pairs in drawn:
        assert sorted(moving for moving, _ in pairs) == list(range(7))
    assert {tuple(pair) for pairs in drawn for pair in pairs} == set(data.pairs())  # all partners have their turn


def test_the_atlas_comes_after_the_last_image():
    atlas = np.full((4, 6, 1), 9.0), np.full((4, 6), 2)
    order = pair_order(numbered(3, pairs=[(i, None) for i in range(3)], atlas=atlas), 2, training=False)
    assert [order.batch(step).tolist() for step in range(2)] == [[[0, 3], [1, 3]], [[2, 3]]]


def test_an_order_reads_no_image():
    def unread(i):
        pytest.fail(f"image {i} was read")

    data = numbered().derived(unread, cache=None)
    assert isinstance(data, ImageSet)
    assert pair_order(data, 2, training=True).batch(5).shape == (2, 2)
    assert image_order(data, 2, training=True).batch(5).shape == (2, 1)
