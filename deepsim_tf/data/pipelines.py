"""tf.data pipelines: batches of images for segmentation, of pairs for registration.

Order (`deepsim_tf.data.order`) and augmentation are functions of (seed, epoch) alone, so a run that was killed can
continue with exactly the batches that it would have seen (tf.data's own shuffle restarts at its first order).
"""

import itertools
import operator
import weakref

import numpy as np
import tensorflow as tf

from deepsim_tf.data.order import image_order, pair_order, whole_number


def segmentation_dataset(images, batch_size, *, training, seed=0, augment=None, first_epoch=None, first_batch=0):
    """Batches of (image, labels) for a segmentation model's `fit`, `evaluate` or `predict`.

    Args:
        images: an ImageSet with labels. One that caches is loaded, and so checked, here.
        batch_size: images in a batch.
        training: True shuffles anew each epoch and drops an incomplete last batch;
            False keeps the order of `images` and every image.
        seed: non-negative integer; order and augmentation are functions of (seed, epoch).
        augment: a transform of `deepsim_tf.augmentation`, applied when training.
        first_epoch: None gives a finite dataset, whose n-th iteration is epoch n (from 0; Keras may
            spend an iteration on a look at the first batch). An integer gives an endless stream that
            starts at that epoch, for `fit(steps_per_epoch=...)` and exact resume.
        first_batch: with `first_epoch`, how many batches of that epoch are left out.

    Returns:
        tf.data.Dataset of image (batch, *spatial, channels) float32 and labels (batch, *spatial) int32. The images
        are in memory as long as the dataset, one made from it, or an iterator over it.

    Raises:
        ValueError: a wrong argument, images without labels, or an image that fails its check.
    """
    source = _Source(images, image_order(images, batch_size, training=training, seed=seed))
    if not source.labelled:
        raise ValueError(f"segmentation_dataset needs labels. Received: {images!r}, which has none.")
    augment = _checked(augment, training)
    arrange = operator.itemgetter("image", "image_labels")
    return _pipeline(source, ("image",), ("", "_labels"), arrange, augment, seed, first_epoch, first_batch)


def autoencoder_dataset(images, batch_size, *, training, seed=0, augment=None, first_epoch=None, first_batch=0):
    """Batches of (image, image) for an autoencoder's `fit`, `evaluate` or `predict`; labels are not needed.

    Args:
        images, batch_size, training, seed, augment, first_epoch, first_batch: see `segmentation_dataset`.

    Returns:
        tf.data.Dataset of an image (batch, *spatial, channels) float32, twice.

    Raises:
        ValueError: a wrong argument, or an image that fails its check.
    """
    source = _Source(images, image_order(images, batch_size, training=training, seed=seed))
    augment = _checked(augment, training)
    arrange = operator.itemgetter("image", "image")
    return _pipeline(source, ("image",), ("",), arrange, augment, seed, first_epoch, first_batch)


def registration_dataset(images, batch_size, *, training, seed=0, augment=None, first_epoch=None, first_batch=0):
    """Batches of pairs for a registration model's `fit`, `evaluate` or `predict`.

    Args:
        images: an ImageSet with pairs. One that caches is loaded, and so checked, here.
        batch_size: pairs in a batch.
        training: True draws, each epoch, one partner at random for each image that occurs as moving,
            shuffles, and drops an incomplete last batch; False gives `images.pairs()` in order, all.
        seed, augment, first_epoch, first_batch: see `segmentation_dataset`. A pair's two images and label maps are
            moved by the same map.

    Returns:
        tf.data.Dataset of ({"moving", "fixed"}, {"moving_labels", "fixed_labels"}): images
        (batch, *spatial, channels) float32, labels (batch, *spatial) int32. Without labels, elements are
        ({"moving", "fixed"},).

    Raises:
        ValueError: a wrong argument, no pairs, or an image that fails its check.
    """
    source = _Source(images, pair_order(images, batch_size, training=training, seed=seed))
    augment = _checked(augment, training)
    roles, kinds = ("moving", "fixed"), ("", "_labels")[: 1 + source.labelled]

    def arrange(batch):
        return tuple({role + kind: batch[role + kind] for role in roles} for kind in kinds)

    return _pipeline(source, roles, kinds, arrange, augment, seed, first_epoch, first_batch)


def _checked(augment, training):
    """The transform to apply, or None."""
    if augment is not None and not callable(augment):
        raise ValueError(f"augment must be None or a deepsim_tf.augmentation transform. Received: augment={augment!r}.")
    return augment if training else None


class _Source:
    """The arrays of a batch by its number; the one object of a pipeline that holds the images.

    Args:
        images: an ImageSet.
        order: an Order.
    """

    def __init__(self, images, order):
        self.images, self.order = images, order
        self.stacks = images.stack() if images.cached else None
        self.labelled = (self.stacks[1] if images.cached else images[0][1]) is not None
        to_atlas = images.atlas is not None and any(j is None for _, j in images.pairs())
        if to_atlas and self.labelled and images.atlas[1] is None:
            raise ValueError(f"{images.name}: the images have labels, the atlas has none. Label all or none.")

    def __call__(self, step):
        """Images, and labels where there are any, of a batch: a list [images, labels] for each role."""
        return [self._read(index) for index in self.order.batch(step).T]

    def _read(self, index):
        if self.stacks is not None and (index < len(self.images)).all():  # the atlas comes after the last image
            return [stack[index] for stack in self.stacks if stack is not None]
        names = self.images.names
        items = [self.images.atlas if i == len(self.images) else self.images[i] for i in index]
        for i, item in zip(index, items, strict=True):
            if self.labelled and item[1] is None:
                raise ValueError(f"{self.images.name}: {names[0]} has labels, {names[i]} has none. Label all or none.")
        return [np.stack(part) for part in list(zip(*items, strict=True))[: 1 + self.labelled]]


def _pipeline(source, roles, kinds, arrange, augment, seed, first_epoch, first_batch):
    """The dataset: numbers of batches -> dicts of tensors -> elements.

    TensorFlow keeps a function that is given to `tf.numpy_function` as long as the process (in a list of the default
    graph: `_py_funcs_used_in_graph` in its script_ops.py), with all that the function holds. Here it holds a weak
    reference to the source, and the dataset the source itself: datasets that are made from it, and iterators, hold the
    dataset.

    Args:
        source: a _Source, whose order has a column for each role.
        roles: names of the images of an element, such as ("moving", "fixed").
        kinds: ("",) for images, ("", "_labels") for labels too, under role_labels.
        arrange: function of the dict to what an element is.
    """
    whole_number("first_epoch", 0 if first_epoch is None else first_epoch, 0)
    whole_number("first_batch", first_batch, 0)
    if first_batch and first_epoch is None:
        raise ValueError(f"first_batch needs first_epoch. Received: first_batch={first_batch}, first_epoch=None.")
    reference, in_epoch = weakref.ref(source), len(source.order)
    size = source.order.batch_size if source.order.whole else None
    shapes = {"": (size, *source.images.shape, source.images.channels), "_labels": (size, *source.images.shape)}

    def fetch(step):
        found = reference()
        if found is None:
            raise ValueError(
                "The dataset whose batches are asked for is gone, and its images with it. Keep a reference to what"
                " segmentation_dataset, autoencoder_dataset or registration_dataset returned."
            )
        parts = found(step)
        return [part[k] for k in range(len(kinds)) for part in parts]

    def gather(step):
        names = [(role, kind) for kind in kinds for role in roles]
        arrays = tf.numpy_function(
            fetch, [step], [tf.int32 if kind else tf.float32 for _, kind in names], stateful=False
        )
        batch = {
            role + kind: tf.ensure_shape(array, shapes[kind]) for (role, kind), array in zip(names, arrays, strict=True)
        }
        if augment is not None:
            epoch, number = tf.cast(step // in_epoch, tf.int32), tf.cast(step % in_epoch, tf.int32)
            fold = tf.random.experimental.stateless_fold_in
            batch = augment(batch, fold(fold(tf.constant([seed, 0], tf.int32), epoch), number))
        return batch

    # Parallel calls keep their order (deterministic is the default), so speed does not cost reproducibility.
    batches = _steps(in_epoch, first_epoch, first_batch).map(gather, num_parallel_calls=tf.data.AUTOTUNE)
    batches.source = source
    return batches.map(arrange).prefetch(tf.data.AUTOTUNE)


def _steps(in_epoch, first_epoch, first_batch):
    """The numbers of the batches: of one epoch, the next with every iteration, or of all from one batch on."""
    if first_epoch is not None:
        endless = tf.data.Dataset.range(first_epoch * in_epoch + first_batch, tf.int64.max)
        return endless.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    iterations = itertools.count()

    def epoch(_):
        number = tf.numpy_function(lambda: np.int64(next(iterations)), [], tf.int64)
        return tf.data.Dataset.range(number * in_epoch, (number + 1) * in_epoch)

    once = tf.data.Dataset.from_tensors(0).flat_map(epoch)
    return once.apply(tf.data.experimental.assert_cardinality(in_epoch))
