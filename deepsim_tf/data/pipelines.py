"""tf.data pipelines: batches of images for segmentation, of pairs for registration.

Order and augmentation are functions of (seed, epoch) alone, so a run that was killed can continue
with exactly the batches that it would have seen (tf.data's own shuffle restarts at its first order).
"""

import numpy as np
import tensorflow as tf

from deepsim_tf.data.image_set import ImageSet


def segmentation_dataset(images, batch_size, *, training, seed=0, augment=None, first_epoch=None):
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

    Returns:
        tf.data.Dataset of image (batch, *spatial, channels) float32 and labels (batch, *spatial) int32.

    Raises:
        ValueError: a wrong argument, images without labels, or an image that fails its check.
    """
    dataset, labelled = _single_images(images, batch_size, training, seed, augment, first_epoch)
    if not labelled:
        raise ValueError(f"segmentation_dataset needs labels. Received: {images!r}, which has none.")
    return dataset.map(lambda batch: (batch["image"], batch["image_labels"])).prefetch(tf.data.AUTOTUNE)


def autoencoder_dataset(images, batch_size, *, training, seed=0, augment=None, first_epoch=None):
    """Batches of (image, image) for an autoencoder's `fit`, `evaluate` or `predict`; labels are not needed.

    Args:
        images, batch_size, training, seed, augment, first_epoch: see `segmentation_dataset`.

    Returns:
        tf.data.Dataset of an image (batch, *spatial, channels) float32, twice.

    Raises:
        ValueError: a wrong argument, or an image that fails its check.
    """
    dataset, _ = _single_images(images, batch_size, training, seed, augment, first_epoch)
    return dataset.map(lambda batch: (batch["image"], batch["image"])).prefetch(tf.data.AUTOTUNE)


def registration_dataset(images, batch_size, *, training, seed=0, augment=None, first_epoch=None):
    """Batches of pairs for a registration model's `fit`, `evaluate` or `predict`.

    Args:
        images: an ImageSet with pairs. One that caches is loaded, and so checked, here.
        batch_size: pairs in a batch.
        training: True draws, each epoch, one partner at random for each image that occurs as moving,
            shuffles, and drops an incomplete last batch; False gives `images.pairs()` in order, all.
        seed, augment, first_epoch: see `segmentation_dataset`. A pair's two images and label maps are
            moved by the same map.

    Returns:
        tf.data.Dataset of ({"moving", "fixed"}, {"moving_labels", "fixed_labels"}): images
        (batch, *spatial, channels) float32, labels (batch, *spatial) int32. Without labels, elements are
        ({"moving", "fixed"},).

    Raises:
        ValueError: a wrong argument, no pairs, or an image that fails its check.
    """
    _check_arguments(images, batch_size, training, seed, augment, first_epoch)
    fetch, labelled = _fetcher(images)
    atlas = len(images)  # `fetch` has the atlas after the last image
    pairs = np.array([(i, atlas if j is None else j) for i, j in images.pairs()], np.int32).reshape(-1, 2)
    if not len(pairs):
        raise ValueError(f"registration_dataset needs pairs. Received: {images!r}.")
    partners = {i: pairs[pairs[:, 0] == i] for i in np.unique(pairs[:, 0])}

    def order(epoch):
        if not training:
            return pairs
        random = np.random.default_rng([seed, epoch])
        drawn = np.stack([candidates[random.integers(len(candidates))] for candidates in partners.values()])
        return random.permutation(drawn)

    def split(batch):
        x = {"moving": batch["moving"], "fixed": batch["fixed"]}
        return (
            (x, {"moving_labels": batch["moving_labels"], "fixed_labels": batch["fixed_labels"]}) if labelled else (x,)
        )

    dataset = _batches(
        order, images, fetch, labelled, ("moving", "fixed"), batch_size, training, seed, augment, first_epoch
    )
    return dataset.map(split).prefetch(tf.data.AUTOTUNE)


def _single_images(images, batch_size, training, seed, augment, first_epoch):
    """Batches of the dict {"image", "image_labels"}, each image once an epoch; and whether there are labels."""
    _check_arguments(images, batch_size, training, seed, augment, first_epoch)
    fetch, labelled = _fetcher(images)

    def order(epoch):
        count = len(images)
        return (np.random.default_rng([seed, epoch]).permutation(count) if training else np.arange(count))[:, None]

    return _batches(
        order, images, fetch, labelled, ("image",), batch_size, training, seed, augment, first_epoch
    ), labelled


def _check_arguments(images, batch_size, training, seed, augment, first_epoch):
    def require(valid, message):
        if not valid:
            raise ValueError(message)

    require(
        isinstance(images, ImageSet), f"images must be a deepsim_tf.data.ImageSet. Received: {type(images).__name__}."
    )
    require(len(images), f"images is empty. Received: {images!r}.")
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("seed", seed, 0),
        ("first_epoch", 0 if first_epoch is None else first_epoch, 0),
    ):
        integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        require(
            integer and least <= value < 2**31, f"{name} must be an integer from {least}. Received: {name}={value!r}."
        )
    require(isinstance(training, (bool, np.bool_)), f"training must be True or False. Received: training={training!r}.")
    require(
        augment is None or callable(augment),
        f"augment must be None or a deepsim_tf.augmentation transform. Received: augment={augment!r}.",
    )


def _fetcher(images):
    """A function of an index array that returns (images, labels), and whether there are labels."""
    if images.cached:
        stacks = images.stack()
        labelled = stacks[1] is not None
    else:
        labelled = images[0][1] is not None
    if images.atlas is not None and labelled and images.atlas[1] is None and any(j is None for _, j in images.pairs()):
        raise ValueError(f"{images.name}: the images have labels, the atlas has none. Label all or none.")

    def fetch_stacked(index):
        if images.atlas is None or (index < len(images)).all():
            return [stack[index] for stack in stacks if stack is not None]
        return fetch_each(index)

    def fetch_each(index):
        items = [images.atlas if i == len(images) else images[i] for i in index]
        for i, item in zip(index, items):
            if labelled and item[1] is None:
                raise ValueError(
                    f"{images.name}: {images.names[0]} has labels, {images.names[i]} has none. Label all or none."
                )
        return [np.stack(part) for part in list(zip(*items))[: 1 + labelled]]

    return (fetch_stacked if images.cached else fetch_each), labelled


def _batches(order, images, fetch, labelled, roles, batch_size, training, seed, augment, first_epoch):
    """Dataset of dicts: an image under each role, its labels under role_labels.

    `order(epoch)` gives the epoch's rows of indices, one column per role.
    """
    count = len(order(0))
    if training and count < batch_size:
        raise ValueError(
            f"batch_size={batch_size} is more than the {count} items of an epoch: training would have no batch."
        )
    count -= count % batch_size if training else 0
    next_epoch = iter(range(2**31))  # the finite dataset's counter: one step per iteration over it

    def rows(epoch):
        for row, index in enumerate(order(epoch)[:count]):
            yield index, epoch, row // batch_size

    def generate():
        if first_epoch is None:
            yield from rows(next(next_epoch))
        else:
            for epoch in range(first_epoch, 2**31):
                yield from rows(epoch)

    batch_dimension = int(batch_size) if training else None

    def gather(index, epoch, batch):
        # (batch, roles) -> one array (roles * batch, ...) in a single call, then one slice per role
        dtypes = [tf.float32, tf.int32][: 1 + labelled]
        arrays = tf.numpy_function(fetch, [tf.reshape(tf.transpose(index), [-1])], dtypes, stateful=False)
        tensors = {}
        for array, suffix, channel in zip(
            arrays, ("", "_labels"), ((images.channels,), ()), strict=False
        ):  # no labels, no second array
            for role, part in zip(roles, tf.split(array, len(roles))):
                tensors[role + suffix] = tf.ensure_shape(part, (batch_dimension, *images.shape, *channel))
        if training and augment is not None:
            fold = tf.random.experimental.stateless_fold_in
            tensors = augment(tensors, fold(fold(tf.constant([seed, 0], tf.int32), epoch[0]), batch[0]))
        return tensors

    signature = tuple(tf.TensorSpec(shape, tf.int32) for shape in ((len(roles),), (), ()))
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    dataset = dataset.apply(
        tf.data.experimental.assert_cardinality(count if first_epoch is None else tf.data.INFINITE_CARDINALITY)
    )
    # Parallel calls keep their order (deterministic is the default), so speed does not cost reproducibility.
    return dataset.batch(batch_size, drop_remainder=bool(training)).map(gather, num_parallel_calls=tf.data.AUTOTUNE)
