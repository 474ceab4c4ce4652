"""The images of a dataset live as long as something that can still yield them, and no longer."""

import deepsim_tf as ds  # isort: skip
import gc
import weakref

import keras
import pytest
import tensorflow as tf
from numbered import numbered, seen

DATASETS = (ds.data.segmentation_dataset, ds.data.autoencoder_dataset, ds.data.registration_dataset)
EXPECTED = [[[0, 1], [1, 2]], [[2, 3]]]


def pairs():
    """(dataset, weak reference to its images)."""
    images = numbered(4, pairs=[(0, 1), (1, 2), (2, 3)])
    return ds.data.registration_dataset(images, 2, training=False), weakref.ref(images)


def gone(reference):
    gc.collect()
    return reference() is None


@pytest.mark.parametrize("make", DATASETS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("first_epoch", [None, 0])
def test_images_go_with_their_dataset_read_in_part(make, first_epoch):
    images = numbered()
    dataset = make(images, 2, training=True, augment=ds.augmentation.RandomAffine(), first_epoch=first_epoch)
    assert len(seen(dataset.take(2))) == 2  # of an endless stream, threads wait with the next
    images = weakref.ref(images)
    assert not gone(images)
    del dataset
    assert gone(images)


@pytest.mark.filterwarnings("ignore:.*shuffle")  # of Keras, on datasets
def test_images_go_after_a_plain_fit_while_the_model_stays():
    model = keras.Sequential([keras.Input((4, 6, 1)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd", "mse")
    images = numbered()
    arguments = {"steps_per_epoch": 2, "epochs": 2, "verbose": 0}
    validation = ds.data.autoencoder_dataset(images, 2, training=False)
    stream = ds.data.autoencoder_dataset(images, 2, training=True, first_epoch=0)
    model.fit(stream, validation_data=validation, **arguments)
    model.evaluate(validation, verbose=0)
    model.predict(validation, verbose=0)
    del stream, validation
    images = weakref.ref(images)
    assert gone(images)
    assert model.predict(tf.zeros((1, 4, 6, 1)), verbose=0).shape == (1, 4, 6, 1)


def in_a_function(dataset):
    """A compiled function that goes over the dataset."""

    @tf.function
    def total():
        found = tf.constant(0.0)
        for x, _ in dataset:
            found += tf.reduce_sum(x["moving"][:, 0, 0, 0] + 10 * x["fixed"][:, 0, 0, 0])
        return found

    return total


MADE = {  # what a user may keep of a dataset, and how it is read
    "dataset": (lambda dataset: dataset, seen),
    "derived": (lambda dataset: dataset.repeat(2).take(2).prefetch(1).cache(), seen),
    "options": (lambda dataset: dataset.with_options(tf.data.Options()), seen),
    "zipped": (lambda dataset: tf.data.Dataset.zip((dataset, dataset)), lambda kept: seen(both[0] for both in kept)),
    "concatenated": (lambda dataset: dataset.take(1).concatenate(dataset.skip(1)), seen),
    "nested": (lambda dataset: tf.data.Dataset.range(1).flat_map(lambda _: dataset), seen),
    "iterator": (iter, seen),
    "numpy": (lambda dataset: dataset.as_numpy_iterator(), seen),
    "distributed": (tf.distribute.OneDeviceStrategy("CPU:0").experimental_distribute_dataset, seen),
    "shared": (
        lambda dataset: tf.distribute.MirroredStrategy(["CPU:0"]).distribute_datasets_from_function(lambda _: dataset),
        seen,
    ),
    "iterator of a distributed one": (
        lambda dataset: iter(tf.distribute.MirroredStrategy(["CPU:0"]).experimental_distribute_dataset(dataset)),
        seen,
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_from_a_dataset_keeps_its_images_and_goes_with_them(name):
    make, read = MADE[name]
    dataset, images = pairs()
    kept = make(dataset)
    del dataset
    assert not gone(images)
    assert read(kept) == EXPECTED
    del kept
    assert gone(images)


def test_a_compiled_function_keeps_the_dataset_that_it_goes_over():
    dataset, images = pairs()
    total = in_a_function(dataset)
    del dataset
    for _ in range(2):
        assert not gone(images)
        assert total().numpy() == 0 + 1 + 2 + 10 * (1 + 2 + 3)
    del total
    assert gone(images)


def test_a_dataset_that_only_tensorflow_still_knows_says_what_to_keep():
    dataset, images = pairs()
    nested = tf.data.Dataset.from_tensors(dataset)  # holds the dataset's tensor, not the dataset
    del dataset
    assert gone(images)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Keep a reference to what .* registration_dataset return"):
        seen(nested.flat_map(lambda inner: inner))
