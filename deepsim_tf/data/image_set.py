"""ImageSet: the one interface between the datasets and everything that consumes images."""

import numpy as np


class ImageSet:
    """Images with optional labels, on one grid, and the pairs to register.

    `images[i]` is `(image, labels)`: image (*spatial, 1) float32, labels (*spatial) int32 or None.
    Every image is checked when it is loaded; the `ValueError` names the image. Arrays are read-only,
    because they are shared with the cache.

    Args:
        load: function of an index that returns `(image, labels or None)`.
        names: one short name per image, such as "02/t013". Their number is `len(images)`.
        name: name of the dataset, for tables and figures.
        split: "train", "val" or "test" (or any name of the user's).
        classes: number of classes, background included; None where there are no labels.
        shape: the spatial shape, a tuple of voxels.
        spacing: size of a voxel in mm, one number per axis.
        intensity: the rule that brought the intensities to [0, 1], by name (`deepsim_tf.data.intensity`).
        pairs: list of (moving, fixed) indices; fixed is None where the fixed image is the atlas.
        atlas: `(image, labels or None)`, or None.
        true_flow: function of a pair's number that returns the true flow (*spatial, ndim) in voxels;
            None where it is unknown, as it is for all real data.
        cache: whether loaded images stay in memory.
    """

    def __init__(
        self, load, names, *, name, split, classes, shape, spacing, intensity, pairs, atlas=None, true_flow=None, cache=True
    ):  # fmt: skip
        self._load, self._true_flow, self._cache, self._stack = load, true_flow, {}, None
        self.names, self.name, self.split, self.classes, self.cached = list(names), name, split, classes, bool(cache)
        self.shape, self.spacing, self.intensity = tuple(int(n) for n in shape), tuple(float(s) for s in spacing), intensity
        if len(self.spacing) != len(self.shape):
            raise ValueError(f"{name}: expected one spacing per axis of shape {self.shape}. Received: spacing={self.spacing}.")
        self._pairs = [(int(i), None if j is None else int(j)) for i, j in pairs]
        for pair in self._pairs:
            if not all(j is None or 0 <= j < len(self.names) for j in pair):
                raise ValueError(f"{name}: pair {pair} is outside the {len(self.names)} images.")
        if atlas is None and any(j is None for _, j in self._pairs):
            raise ValueError(f"{name}: pairs with fixed=None need an atlas. Pass atlas=(image, labels).")
        self.atlas = None if atlas is None else self._check(*atlas, "atlas")

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        index = range(len(self))[index]  # negative indices count from the end; IndexError ends a for loop
        if index in self._cache:
            return self._cache[index]
        item = self._check(*self._load(index), self.names[index])
        if self.cached:
            self._cache[index] = item
        return item

    def __repr__(self):
        return f"ImageSet({self.name!r}, {self.split!r}: {len(self)} images {self.shape}, {len(self._pairs)} pairs)"

    def pairs(self):
        """The (moving, fixed) indices: exact pairs in val and test, all candidates in train."""
        return list(self._pairs)

    def pair(self, k):
        """Pair number `k` as `(moving, fixed, moving_labels, fixed_labels)`."""
        i, j = self._pairs[k]
        (moving, moving_labels), (fixed, fixed_labels) = self[i], self.atlas if j is None else self[j]
        return moving, fixed, moving_labels, fixed_labels

    def true_flow(self, k):
        """The flow (*spatial, ndim), in voxels, that maps the anatomy of pair `k` from moving to fixed.

        Raises:
            ValueError: where it is unknown, which is everywhere but in synthetic data.
        """
        if self._true_flow is None:
            raise ValueError(f"The true flow of {self.name!r} is unknown. Only ds.data.synthetic(...) has one.")
        return self._true_flow(range(len(self._pairs))[k])

    def stack(self):
        """All images (n, *spatial, 1) and labels (n, *spatial), or None where no image has labels.

        A set that caches keeps the two arrays as its cache, so they are in memory once.

        Raises:
            ValueError: an image fails its check, or only some images have labels.
        """
        if self._stack is not None:
            return self._stack
        labelled = self[0][1] is not None
        images = np.empty((len(self), *self.shape, 1), np.float32)
        labels = np.empty((len(self), *self.shape), np.int32) if labelled else None
        for i, name in enumerate(self.names):
            images[i], item_labels = self[i]
            if (item_labels is not None) != labelled:
                raise ValueError(f"{self.name}: {self.names[0]} has {'' if labelled else 'no '}labels, {name} is different. Label all or none.")
            if labelled:
                labels[i] = item_labels
            if self.cached:
                self._cache[i] = (_read_only(images[i]), _read_only(labels[i]) if labelled else None)
        stack = _read_only(images), _read_only(labels) if labelled else None
        self._stack = stack if self.cached else None
        return stack

    def downsampled(self, factor):
        """The same set on a grid `factor` times coarser on each axis, remainders cropped.

        Images are averaged over blocks (scikit-image's `downscale_local_mean`), labels take the sample
        nearest to the block's centre, spacing is multiplied, a true flow is averaged and divided.

        Args:
            factor: a positive integer.
        """
        if not isinstance(factor, (int, np.integer)) or not 1 <= factor <= min(self.shape):
            raise ValueError(f"factor must be an integer from 1 to the smallest side of {self.shape}. Received: factor={factor!r}.")

        def coarse(item):
            image, labels = item
            return _block_mean(image, factor), None if labels is None else _block_centre(labels, factor)

        # The full-size images are read past the cache, or both resolutions would stay in memory.
        return ImageSet(
            lambda i: coarse(self._cache[i] if i in self._cache else self._check(*self._load(i), self.names[i])),
            self.names,
            name=self.name,
            split=self.split,
            classes=self.classes,
            shape=tuple(n // factor for n in self.shape),
            spacing=tuple(s * factor for s in self.spacing),
            intensity=self.intensity,
            pairs=self._pairs,
            atlas=None if self.atlas is None else coarse(self.atlas),
            true_flow=None if self._true_flow is None else lambda k: _block_mean(self.true_flow(k), factor) / np.float32(factor),
            cache=self.cached,
        )

    def _check(self, image, labels, name):
        where = f"{self.name}, image {name}"
        return check_image(image, self.shape, where), check_labels(labels, self.shape, self.classes, where)


def check_image(image, shape, where):
    """`image` as a read-only float32 array (*shape, 1), or a ValueError that begins with `where`."""
    image = np.asarray(image)
    if image.shape != (*shape, 1):
        raise ValueError(f"{where}: expected an array of shape {(*shape, 1)}, one channel last. Received: shape {image.shape}.")
    if image.dtype.kind != "f":
        raise ValueError(f"{where}: expected floating-point intensities, nominally in [0, 1]. Received: {image.dtype}. Rescale it first.")
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, and is reported as such
        image = image.astype(np.float32)
    if not np.isfinite(image).all():
        count = int(np.size(image) - np.isfinite(image).sum())
        raise ValueError(f"{where}: expected finite intensities. Received: {count} voxels that are NaN or infinite (as float32).")
    return _read_only(image)


def check_labels(labels, shape, classes, where):
    """`labels` as a read-only int32 array of `shape` with values in range(classes), None as None."""
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.shape != tuple(shape):
        raise ValueError(f"{where}: expected labels of the image's shape {tuple(shape)}. Received: shape {labels.shape}.")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{where}: expected integer labels. Received: {labels.dtype}.")
    if classes is None:
        raise ValueError(f"{where}: has labels, but the number of classes is unknown. Pass classes to the ImageSet.")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"{where}: expected labels from 0 to {classes - 1}. Received: {labels.min()} to {labels.max()}.")
    return _read_only(labels.astype(np.int32))


def _read_only(array):
    array = array.view()
    array.flags.writeable = False
    return array


def _block_mean(array, factor):
    """Mean over blocks of factor^ndim voxels; the last axis holds channels."""
    for axis, n in enumerate(array.shape[:-1]):
        # (.., n, ..) -> (.., n // factor, factor, ..) -> mean over the block
        array = array.take(range(n // factor * factor), axis)
        array = array.reshape(*array.shape[:axis], n // factor, factor, *array.shape[axis + 1 :]).mean(axis + 1)
    return array


def _block_centre(labels, factor):
    return labels[tuple(slice(factor // 2, n // factor * factor, factor) for n in labels.shape)]
