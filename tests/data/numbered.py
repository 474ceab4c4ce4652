"""Images whose voxels hold their number, so that a batch tells what is in it."""

import numpy as np

from deepsim_tf.data import ImageSet


def numbered(count=7, pairs=None, labels=True, cache="memory", atlas=None, bad=None):
    """Image i is constant i, its labels constant i % 3; image `bad` is NaN."""

    def load(i):
        return np.full((4, 6, 1), np.nan if i == bad else i, np.float32), np.full((4, 6), i % 3) if labels else None

    if pairs is None:
        pairs = [(i, j) for i in range(count) for j in (i - 2, i - 1, i + 1, i + 2) if 0 <= j < count]
    names = [f"image {i}" for i in range(count)]
    return ImageSet(
        load,
        names,
        name="toy",
        split="train",
        classes=3,
        shape=(4, 6),
        spacing=(1, 1),
        intensity="none",
        pairs=pairs,
        atlas=atlas,
        cache=cache,
    )


def seen(dataset):
    """The numbers of the images (moving, fixed for pairs), batch by batch."""
    batches = []
    for element in dataset:
        x = element[0]
        parts = [x["moving"], x["fixed"]] if isinstance(x, dict) else [x]
        batches.append(np.stack([part[:, 0, 0, 0] for part in parts], -1).astype(int).tolist())
    return batches
