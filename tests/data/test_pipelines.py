import keras
import numpy as np
import pytest
import tensorflow as tf
from numbered import numbered, seen

from deepsim_tf.augmentation import RandomAffine
from deepsim_tf.data import registration_dataset, segmentation_dataset


@pytest.mark.parametrize("cache", ["memory", None])
def test_validation_keeps_the_order_and_the_partial_batch(cache):
    data = numbered(5, pairs=[(0, 1), (1, 2), (2, 3)], cache=cache)
    pairs, images = registration_dataset(data, 2, training=False), segmentation_dataset(data, 2, training=False)
    assert seen(pairs) == seen(pairs) == [[[0, 1], [1, 2]], [[2, 3]]] and len(pairs) == 2
    assert seen(images) == [[[0], [1]], [[2], [3]], [[4]]] and len(images) == 3


def test_labels_come_with_their_images():
    x, y = next(iter(registration_dataset(numbered(), 3, training=True)))
    for role in ("moving", "fixed"):
        np.testing.assert_array_equal(y[f"{role}_labels"], x[role][..., 0] % 3)
    image, labels = next(iter(segmentation_dataset(numbered(), 3, training=True)))
    np.testing.assert_array_equal(labels, image[..., 0] % 3)


def test_shapes_and_types_are_static():
    spec = registration_dataset(numbered(), 3, training=True).element_spec
    assert {key: (part.shape, part.dtype) for part in spec for key, part in part.items()} == {
        "moving": ((3, 4, 6, 1), tf.float32),
        "fixed": ((3, 4, 6, 1), tf.float32),
        "moving_labels": ((3, 4, 6), tf.int32),
        "fixed_labels": ((3, 4, 6), tf.int32),
    }
    image, labels = segmentation_dataset(numbered(), 3, training=False).element_spec
    assert image.shape.as_list() == [None, 4, 6, 1] and labels.shape.as_list() == [None, 4, 6]


@pytest.mark.parametrize("make", [segmentation_dataset, registration_dataset])
def test_order_is_a_function_of_seed_and_epoch(make):
    data = numbered()
    finite, stream = make(data, 2, training=True, seed=5), make(data, 2, training=True, seed=5, first_epoch=0)
    epochs = [seen(finite) for _ in range(3)]  # 7 images in batches of 2: the odd one is left out
    assert len(finite) == 3 and [len(epoch) for epoch in epochs] == [3, 3, 3]
    assert seen(stream.take(9)) == epochs[0] + epochs[1] + epochs[2] and epochs[0] != epochs[1]
    assert seen(make(data, 2, training=True, seed=5, first_epoch=2).take(3)) == epochs[2]
    assert seen(make(data, 2, training=True, seed=6)) != epochs[0]


def test_augmentation_is_a_function_of_seed_epoch_and_batch():
    def augment(tensors, seed):
        return {
            key: part + tf.cast(1000 * tf.random.stateless_uniform([], seed), part.dtype)
            for key, part in tensors.items()
        }

    data = numbered()
    finite = segmentation_dataset(data, 2, training=True, augment=augment)
    first, second = ([image.numpy() for image, _ in finite] for _ in range(2))
    resumed = [
        image.numpy()
        for image, _ in segmentation_dataset(data, 2, training=True, augment=augment, first_epoch=1).take(3)
    ]
    np.testing.assert_array_equal(second, resumed)
    fractions = np.concatenate([first, second])[:, 0, 0, 0, 0] % 1
    assert len(np.unique(fractions.round(3))) == 6  # another seed for each batch
    images = segmentation_dataset(data, 7, training=False, augment=augment)
    np.testing.assert_array_equal(next(iter(images))[0][:, 0, 0, 0], np.arange(7))


def test_a_random_affine_keeps_the_static_shapes():
    plain, augmented = (registration_dataset(numbered(), 3, training=True, augment=a) for a in (None, RandomAffine()))
    assert augmented.element_spec == plain.element_spec
    x, y = next(iter(augmented))
    np.testing.assert_allclose(y["moving_labels"], x["moving"][..., 0] % 3, atol=1e-4)


def test_an_atlas_is_fixed_in_every_pair():
    atlas = np.full((4, 6, 1), 9.0), np.full((4, 6), 2)
    dataset = registration_dataset(numbered(3, pairs=[(i, None) for i in range(3)], atlas=atlas), 2, training=False)
    assert seen(dataset) == [[[0, 9], [1, 9]], [[2, 9]]]


@pytest.mark.parametrize("cache", ["memory", None])
def test_without_labels_fit_gets_inputs_only(cache):
    data = numbered(labels=False, cache=cache)
    dataset = registration_dataset(data, 2, training=True)
    assert isinstance(dataset.element_spec, tuple) and len(dataset.element_spec) == 1
    with pytest.raises(ValueError, match="segmentation_dataset needs labels"):
        segmentation_dataset(data, 2, training=True)


@pytest.mark.filterwarnings("ignore")  # Keras' remarks on shuffle and on tensors without a loss
@pytest.mark.parametrize("labels", [True, False])
def test_fit_evaluate_and_predict_take_the_datasets(labels):
    inputs = {name: keras.Input((4, 6, 1), name=name) for name in ("moving", "fixed")}
    output = keras.layers.Conv2D(1, 3, padding="same")(inputs["moving"]) - inputs["fixed"]

    class Model(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            assert (y is not None) == labels
            return keras.ops.mean(keras.ops.square(y_pred))

    model, data = Model(inputs, output), numbered(labels=labels)
    model.compile("adam")
    history = model.fit(registration_dataset(data, 2, training=True), epochs=2, shuffle=False, verbose=0)
    stream = registration_dataset(data, 2, training=True, first_epoch=2)
    model.fit(stream, epochs=4, initial_epoch=2, steps_per_epoch=3, shuffle=False, verbose=0)
    assert len(history.history["loss"]) == 2
    assert model.predict(registration_dataset(data, 4, training=False), verbose=0).shape == (len(data.pairs()), 4, 6, 1)


def test_a_bad_image_ends_the_building_of_the_dataset():
    with pytest.raises(ValueError, match="toy, image image 4: expected finite"):
        segmentation_dataset(numbered(bad=4), 2, training=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": [1, 2]}, "images must be a deepsim_tf.data.ImageSet. Received: list"),
        ({"batch_size": 0}, "batch_size must be an integer from 1"),
        ({"batch_size": 8}, "batch_size=8 is more than the 7 items"),
        ({"seed": -1}, "seed must be an integer from 0"),
        ({"first_epoch": 1.5}, "first_epoch must be an integer from 0"),
        ({"first_epoch": 0, "first_batch": -1}, "first_batch must be an integer from 0"),
        ({"first_batch": 2}, "first_batch needs first_epoch. Received: first_batch=2"),
        ({"training": "yes"}, "training must be True or False"),
        ({"augment": "flip"}, "augment must be None or"),
        ({"images": numbered(pairs=[])}, "needs pairs"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        registration_dataset(**{"images": numbered(), "batch_size": 2, "training": True} | arguments)
