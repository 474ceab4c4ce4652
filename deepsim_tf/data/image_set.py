"""ImageSet: the one interface between the datasets and everything that consumes images."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tqdm

from deepsim_tf.data.folder_cache import FolderCache
from deepsim_tf.data.problems import Problems
from deepsim_tf.data.validation import check_image, check_labels, read_only
from deepsim_tf.grids.fit import block_centre, block_mean, parse_fit

MEMORY = 2 * 2**30  # bytes up to which cache="auto" keeps a set in memory


class ImageSet:
    """Images with optional labels, on one grid, and the pairs to register.

    `images[i]` is `(image, labels)`: image (*spatial, channels) float32, labels (*spatial) int32 or None.
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
        intensity: the rule that brought the intensities to [0, 1], by name (`deepsim_tf.intensity.rules`).
        pairs: list of (moving, fixed) indices; fixed is None where the fixed image is the atlas.
        atlas: `(image, labels or None)`, or None.
        true_flow: function of a pair's number that returns the true flow (*spatial, ndim) in voxels;
            None where it is unknown, as it is for all real data.
        landmarks: function of a pair's number that returns what `landmarks` does; None where there are none.
        cache: `"memory"` keeps loaded images; None reads them each time; `"auto"` is the first up to 2 GiB, else the
            second; any other text is a folder that keeps them decoded, for the next epoch and the next run (entries
            follow changed files).
        files: function of an index that returns the paths of the files that are read; needed for a folder as cache.
        settings: text that tells this way of reading the files from another, for the names of a folder's entries.
        fit: how files of another size were brought to `shape` (`deepsim_tf.grids.fit`), or None.
        orientation: where the axes point, as in "RAS" (nibabel's axis codes), where the files' headers say so and
            agree; else None.
        channels: number of channels of every image: 1 for grey, 3 for red-green-blue, 2 for T1 and T2.
        close: function that closes the files that `load` keeps open; called after each pass over all images.
    """

    def __init__(
        self,
        load,
        names,
        *,
        name,
        split,
        classes,
        shape,
        spacing,
        intensity,
        pairs,
        atlas=None,
        true_flow=None,
        cache="memory",
        files=None,
        settings="",
        fit=None,
        landmarks=None,
        orientation=None,
        channels=1,
        close=None,
    ):
        self._load, self._true_flow, self._cache, self._stack, self._files, self._settings = (
            load,
            true_flow,
            {},
            None,
            files,
            settings,
        )
        self._landmarks, self._close, self.orientation = landmarks, close, orientation
        self.names, self.name, self.split, self.classes, self.fit = list(names), name, split, classes, fit
        self.shape, self.spacing, self.intensity = (
            tuple(int(n) for n in shape),
            tuple(float(s) for s in spacing),
            intensity,
        )
        if not isinstance(channels, (int, np.integer)) or channels < 1:
            raise ValueError(f"{name}: channels must be an integer from 1. Received: channels={channels!r}.")
        self.channels = int(channels)
        if len(self.spacing) != len(self.shape):
            raise ValueError(
                f"{name}: expected one spacing per axis of shape {self.shape}. Received: spacing={self.spacing}."
            )
        self._pairs = [(int(i), None if j is None else int(j)) for i, j in pairs]
        for pair in self._pairs:
            if not all(j is None or 0 <= j < len(self.names) for j in pair):
                raise ValueError(f"{name}: pair {pair} is outside the {len(self.names)} images.")
        if atlas is None and any(j is None for _, j in self._pairs):
            raise ValueError(f"{name}: pairs with fixed=None need an atlas. Pass atlas=(image, labels).")
        self.atlas = None if atlas is None else self._check(*atlas, "atlas")
        self._requested_cache = cache
        if cache == "auto":  # float32 images and int32 labels
            voxels = len(self.names) * np.prod(self.shape, dtype=np.int64)
            cache = "memory" if 4 * (self.channels + 1) * voxels <= MEMORY else None
        if cache not in ("memory", None) and (files is None or not isinstance(cache, (str, os.PathLike))):
            raise ValueError(
                f'{name}: cache must be "memory", "auto", None, or a folder (for images from files). Received:'
                f" cache={cache!r}."
            )
        self.cache, self.cached = cache, cache == "memory"
        self._folder = None if cache in ("memory", None) else FolderCache(cache, f"{name} {settings}")

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        index = range(len(self))[index]  # negative indices count from the end; IndexError ends a for loop
        if index in self._cache:
            return self._cache[index]
        item = self._read(index)
        if self.cached:
            self._cache[index] = item
        return item

    def _read(self, index):
        """A checked item, past the cache in memory."""
        name = self.names[index]
        if self._folder is None:
            return self._check(*self._load(index), name)
        # What is in the folder was checked when it was put there, but not that nobody touched it: the checks are quick.
        return self._check(
            *self._folder.fetch(name, self._files(index), lambda: self._check(*self._load(index), name)), name
        )

    def __repr__(self):
        channels = f" of {self.channels} channels" if self.channels > 1 else ""
        images = f"{len(self)} images {self.shape}{channels}"
        return f"ImageSet({self.name!r}, {self.split!r}: {images}, {len(self._pairs)} pairs)"

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

    def landmarks(self, k):
        """Landmarks of pair `k` as `(moving, fixed, spacing)`, or None where there are none.

        Row n of moving and of fixed, (N, ndim) in voxels of this set's grid, is one point of the anatomy; spacing is
        the size in mm of a
        voxel of the moving image on that grid: that of the set, unless fit="resample" stretched this image otherwise.
        """
        return None if self._landmarks is None else self._landmarks(range(len(self._pairs))[k])

    def files(self, index):
        """Paths of the files behind an image; empty where it is made, not read."""
        return [] if self._files is None else list(self._files(index))

    def stack(self, *, verbose=0):
        """All images (n, *spatial, channels) and labels (n, *spatial), or None where no image has labels.

        A set that caches keeps the two arrays as its cache, so they are in memory once.

        Args:
            verbose: 1 shows a progress bar.

        Raises:
            ValueError: an image fails its check, or only some images have labels.
        """
        if self._stack is not None:
            return self._stack
        labelled = self[0][1] is not None
        images = np.empty((len(self), *self.shape, self.channels), np.float32)
        labels = np.empty((len(self), *self.shape), np.int32) if labelled else None

        def place(i):
            images[i], item_labels = self._cache[i] if i in self._cache else self._read(i)
            if (item_labels is not None) != labelled:
                first = f"{self.names[0]} has {'' if labelled else 'no '}labels"
                raise ValueError(f"{self.name}: {first}, {self.names[i]} is different. Label all or none.")
            if labelled:
                labels[i] = item_labels
            if self.cached:
                self._cache[i] = (read_only(images[i]), read_only(labels[i]) if labelled else None)

        self._each(place, verbose=verbose)
        stack = read_only(images), read_only(labels) if labelled else None
        self._stack = stack if self.cached else None
        return stack

    def check(self, *, problems=None, verbose=0):
        """Read and check every image, in parallel; a set that caches is loaded by it.

        Args:
            problems: None raises a ValueError about the first; a list receives all of them instead, as sentences.
            verbose: 1 shows a progress bar.
        """
        if self.cached and problems is None:
            self.stack(verbose=verbose)
        else:
            self._each(self._read, problems, verbose)

    def _each(self, function, problems=None, verbose=0):
        """Call `function(index)` for every image, on all cores.

        Decompression and array arithmetic release the interpreter's lock.
        """
        found = Problems(self.name)

        def call(i):
            function(i)  # its result is dropped at once: all of them are all images of the set

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            waiting = [pool.submit(call, i) for i in range(len(self))]
            try:
                for future in tqdm.tqdm(
                    waiting, desc=f"check {self.split}", unit="image", disable=not verbose, leave=False, delay=1
                ):
                    with found.caught():
                        future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            finally:
                if self._close is not None:
                    self._close()
        found.report(problems)

    def derived(self, load, **changes):
        """A set of other images under the same names and pairs.

        `load` and `changes` replace arguments of the constructor.
        """
        kept = ("name", "split", "classes", "shape", "spacing", "intensity", "atlas", "fit", "orientation", "channels")
        arguments = {name: getattr(self, name) for name in kept}
        arguments |= {
            "pairs": self._pairs,
            "files": self._files,
            "settings": self._settings,
            "cache": self._requested_cache,
            "close": self._close,
        }
        return ImageSet(
            load, self.names, **{**arguments, "true_flow": self._true_flow, "landmarks": self._landmarks, **changes}
        )

    def downsampled(self, factor):
        """The same set on a grid `factor` times coarser on each axis, remainders cropped.

        Images are averaged over blocks (scikit-image's `downscale_local_mean`), labels take the sample
        nearest to the block's centre, spacing is multiplied, a true flow is averaged and divided. Landmarks are left
        out: they are for measuring, at the images' own resolution, and may lie in the remainders.

        Args:
            factor: a positive integer.
        """
        if not isinstance(factor, (int, np.integer)) or not 1 <= factor <= min(self.shape):
            raise ValueError(
                f"factor must be an integer from 1 to the smallest side of {self.shape}. Received: factor={factor!r}."
            )

        how, finer = (None, 1) if self.fit is None else parse_fit(self.fit)

        def coarse(item):
            image, labels = item
            return block_mean(image, factor), None if labels is None else block_centre(labels, factor)

        # The full-size images are read past the cache, or both resolutions would stay in memory, or on disk.
        return self.derived(
            lambda i: coarse(self._cache[i] if i in self._cache else self._check(*self._load(i), self.names[i])),
            shape=tuple(n // factor for n in self.shape),
            spacing=tuple(s * factor for s in self.spacing),
            atlas=None if self.atlas is None else coarse(self.atlas),
            true_flow=None
            if self._true_flow is None
            else lambda k: block_mean(self.true_flow(k), factor) / np.float32(factor),
            landmarks=None,
            settings=f"{self._settings} downsampled by {factor}",
            fit=f"pad:{factor * finer}" if how == "pad" else self.fit,
        )

    def _check(self, image, labels, name):
        where = f"{self.name}, image {name}"
        return check_image(image, self.shape, self.channels, where), check_labels(
            labels, self.shape, self.classes, where
        )
