"""Which images are in which batch: a function of (seed, epoch) alone, known without reading any image.

The pipelines of `deepsim_tf.data.pipelines` yield these batches; whoever wants to know what a batch holds asks here.
"""

import numpy as np

from deepsim_tf.data.image_set import ImageSet


class Order:
    """The batches of every epoch, as rows of indices into an ImageSet.

    Args:
        rows: function of an epoch (from 0) to its rows, (n, roles) int32: an image, or the moving and the fixed image,
            where `len(images)` stands for the atlas.
        batch_size: rows in a batch.
        whole: True drops an incomplete last batch.

    Raises:
        ValueError: an epoch has no whole batch.
    """

    def __init__(self, rows, batch_size, *, whole):
        self._rows, self.batch_size, self.whole = rows, int(batch_size), bool(whole)
        self._last = 0, rows(0)
        count = len(self._last[1])
        if whole and count < batch_size:
            raise ValueError(
                f"batch_size={batch_size} is more than the {count} items of an epoch: training would have no batch."
            )
        self._batches = count // self.batch_size if whole else -(-count // self.batch_size)

    def __len__(self):
        """Batches in an epoch."""
        return self._batches

    def epoch(self, epoch):
        """All rows of an epoch, those of an incomplete last batch included: (n, roles) int32."""
        known, rows = self._last
        if known != epoch:
            rows = self._rows(epoch)
            self._last = epoch, rows  # batches come one after the other; threads at worst compute the same twice
        return rows

    def batch(self, step):
        """The rows of batch number `step` of all epochs, one after the other, from 0: (batch, roles) int32."""
        epoch, batch = divmod(int(step), len(self))
        return self.epoch(epoch)[batch * self.batch_size : (batch + 1) * self.batch_size]


def image_order(images, batch_size, *, training, seed=0):
    """The Order of `segmentation_dataset` and `autoencoder_dataset`: each image once an epoch, shuffled in training.

    Args:
        images, batch_size, training, seed: see `segmentation_dataset`.

    Returns:
        An Order with one role.
    """
    _check_arguments(images, batch_size, training, seed)
    count = len(images)

    def rows(epoch):
        order = np.random.default_rng([seed, epoch]).permutation(count) if training else np.arange(count)
        return order.astype(np.int32)[:, None]

    return Order(rows, batch_size, whole=training)


def pair_order(images, batch_size, *, training, seed=0):
    """The Order of `registration_dataset`: in training, one partner for each image that occurs as moving, shuffled.

    Args:
        images, batch_size, training, seed: see `registration_dataset`.

    Returns:
        An Order with two roles, moving and fixed.
    """
    _check_arguments(images, batch_size, training, seed)
    atlas = len(images)
    pairs = np.array([(i, atlas if j is None else j) for i, j in images.pairs()], np.int32).reshape(-1, 2)
    if not len(pairs):
        raise ValueError(f"registration_dataset needs pairs. Received: {images!r}.")
    partners = [pairs[pairs[:, 0] == i] for i in np.unique(pairs[:, 0])]

    def rows(epoch):
        if not training:
            return pairs
        random = np.random.default_rng([seed, epoch])
        return random.permutation(np.stack([candidates[random.integers(len(candidates))] for candidates in partners]))

    return Order(rows, batch_size, whole=training)


def _check_arguments(images, batch_size, training, seed):
    if not isinstance(images, ImageSet):
        raise ValueError(f"images must be a deepsim_tf.data.ImageSet. Received: {type(images).__name__}.")
    if not len(images):
        raise ValueError(f"images is empty. Received: {images!r}.")
    whole_number("batch_size", batch_size, 1)
    whole_number("seed", seed, 0)
    if not isinstance(training, (bool, np.bool_)):
        raise ValueError(f"training must be True or False. Received: training={training!r}.")


def whole_number(name, value, least):
    """Refuse what is no integer from `least` to 2^31 - 1."""
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not integer or not least <= value < 2**31:
        raise ValueError(f"{name} must be an integer from {least}. Received: {name}={value!r}.")
