"""tf.data pipelines: batches of images for segmentation, of pairs for registration.

Order (`deepsim_tf.data.order`) and augmentation are functions of (seed, epoch) alone, so a run that was killed can
continue with exactly the batches that it would have seen (tf.data's own shuffle restarts at its first order).
"""

import itertools
import operator

import numpy as np
import tensorflow as tf

from deepsim_tf._compat import graph_of_its_own
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
        tf.data.Dataset of image (batch, *spatial, 1) float32 and labels (batch, *spatial) int32. The images are in
        memory as long as the dataset, one made from it, or an iterator over it.

    Raises:
        ValueError: a wrong argument, images without labels, or an image that fails its check.
    """
    order = image_order(images, batch_size, training=training, seed=seed)
    read, labelled = _reader(images)
    if not labelled:
        raise ValueError(f"segmentation_dataset needs labels. Received: {images!r}, which has none.")
    augment = _checked(augment, training)
    arrange = operator.itemgetter("image", "image_labels")
    return _pipeline(images, order, ("image",), read, labelled, arrange, augment, seed, first_epoch, first_batch)


def autoencoder_dataset(images, batch_size, *, training, seed=0, augment=None, first_epoch=None, first_batch=0):
    """Batches of (image, image) for an autoencoder's `fit`, `evaluate` or `predict`; labels are not needed.

    Args:
        images, batch_size, training, seed, augment, first_epoch, first_batch: see `segmentation_dataset`.

    Returns:
        tf.data.Dataset of an image (batch, *spatial, 1) float32, twice.

    Raises:
        ValueError: a wrong argument, or an image that fails its check.
    """
    order = image_order(images, batch_size, training=training, seed=seed)
    read, _ = _reader(images)
    augment = _checked(augment, training)
    arrange = operator.itemgetter("image", "image")
    return _pipeline(images, order, ("image",), read, False, arrange, augment, seed, first_epoch, first_batch)


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
        (batch, *spatial, 1) float32, labels (batch, *spatial) int32. Without labels, elements are
        ({"moving", "fixed"},).

    Raises:
        ValueError: a wrong argument, no pairs, or an image that fails its check.
    """
    order = pair_order(images, batch_size, training=training, seed=seed)
    read, labelled = _reader(images)
    augment = _checked(augment, training)

    def arrange(batch):
        x, y = ({role + kind: batch[role + kind] for role in roles if role + kind in batch} for kind in ("", "_labels"))
        return (x, y) if labelled else (x,)

    roles = ("moving", "fixed")
    return _pipeline(images, order, roles, read, labelled, arrange, augment, seed, first_epoch, first_batch)


def _checked(augment, training):
    """The transform to apply, or None."""
    if augment is not None and not callable(augment):
        raise ValueError(f"augment must be None or a deepsim_tf.augmentation transform. Received: augment={augment!r}.")
    return augment if training else None


def _reader(images):
    """A function of an index array that returns [images, labels] or [images], and whether there are labels."""
    if images.cached:
        stacks = images.stack()
        labelled = stacks[1] is not None
    else:
        labelled = images[0][1] is not None
    if images.atlas is not None and labelled and images.atlas[1] is None and any(j is None for _, j in images.pairs()):
        raise ValueError(f"{images.name}: the images have labels, the atlas has none. Label all or none.")

    def read_stacked(index):
        if images.atlas is None or (index < len(images)).all():
            return [stack[index] for stack in stacks if stack is not None]
        return read_each(index)

    def read_each(index):
        items = [images.atlas if i == len(images) else images[i] for i in index]  # the atlas is after the last image
        for i, item in zip(index, items):
            if labelled and item[1] is None:
                raise ValueError(
                    f"{images.name}: {images.names[0]} has labels, {images.names[i]} has none. Label all or none."
                )
        return [np.stack(part) for part in list(zip(*items))[: 1 + labelled]]

    return (read_stacked if images.cached else read_each), labelled


def _pipeline(images, order, roles, read, labelled, arrange, augment, seed, first_epoch, first_batch):
    """The dataset: numbers of batches -> dicts of tensors, an image under each role and its labels under role_labels.

    Args:
        order: the Order, with a column for each role.
        read: see `_reader`.
        arrange: function of such a dict to what an element is.
    """
    whole_number("first_epoch", 0 if first_epoch is None else first_epoch, 0)
    whole_number("first_batch", first_batch, 0)
    if first_batch and first_epoch is None:
        raise ValueError(f"first_batch needs first_epoch. Received: first_batch={first_batch}, first_epoch=None.")
    names = [role + kind for kind in ("", "_labels")[: 1 + labelled] for role in roles]

    def fetch(step):
        parts = [read(index) for index in order.batch(step).T]
        return [part[kind] for kind in range(1 + labelled) for part in parts]

    def gather(step):
        dtypes = [tf.int32 if name.endswith("_labels") else tf.float32 for name in names]
        arrays = tf.numpy_function(fetch, [step], dtypes, stateful=False)
        batch = {}
        for name, array in zip(names, arrays, strict=True):
            shape = images.shape if name.endswith("_labels") else (*images.shape, 1)
            batch[name] = tf.ensure_shape(array, (order.batch_size if order.whole else None, *shape))
        if augment is not None:
            fold = tf.random.experimental.stateless_fold_in
            epoch, within = step // len(order), step % len(order)
            batch = augment(
                batch, fold(fold(tf.constant([seed, 0]), tf.cast(epoch, tf.int32)), tf.cast(within, tf.int32))
            )
        return batch

    with graph_of_its_own():
        # Parallel calls keep their order (deterministic is the default), so speed does not cost reproducibility.
        batches = _steps(order, first_epoch, first_batch).map(gather, num_parallel_calls=tf.data.AUTOTUNE)
        return batches.map(arrange).prefetch(tf.data.AUTOTUNE)


def _steps(order, first_epoch, first_batch):
    """The numbers of the batches: of one epoch, the next with every iteration, or of all from one batch on."""
    if first_epoch is not None:
        endless = tf.data.Dataset.range(first_epoch * len(order) + first_batch, tf.int64.max)
        return endless.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    iterations = itertools.count()

    def epoch(_):
        number = tf.numpy_function(lambda: np.int64(next(iterations)), [], tf.int64)
        return tf.data.Dataset.range(number * len(order), (number + 1) * len(order))

    once = tf.data.Dataset.from_tensors(0).flat_map(epoch)
    return once.apply(tf.data.experimental.assert_cardinality(len(order)))
