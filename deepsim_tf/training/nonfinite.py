"""Names the images of training steps whose loss is not finite, and ends a training with too many of them."""

import sys

import keras
import numpy as np

from deepsim_tf.data.image_set import ImageSet


class NonFiniteSteps(keras.callbacks.Callback):
    """Reports, in one line on stderr, every step that the model has skipped, with the names of its images.

    Args:
        run: the RunFolder callback of the run, after this one in the list: it knows where the run stands.
        names: function of (epoch, batch) that returns the names of its images or pairs (`batch_names`).
        limit: how many steps of a run may be skipped, those before a kill included.
        report: False prints nothing, for the workers other than the chief.

    Raises:
        ValueError: from `fit`, at the first step beyond the limit; the checkpoints are of good steps.
    """

    def __init__(self, run, names, *, limit=10, report=True):
        super().__init__()
        self.run, self.names, self.limit, self.report = run, names, limit, report
        self.reported = []

    def on_train_begin(self, logs=None):
        """Count from where the run stands."""
        self.count = int(self.model.skipped.count.numpy())

    def on_train_batch_end(self, batch, logs=None):
        """Look whether the step was skipped."""
        count = int(self.model.skipped.count.numpy())
        if count == self.count:
            return
        self.count = count
        step = f"epoch {self.run.epoch + 1}, batch {self.run.first_batch + batch + 1}"
        names = ", ".join(self.names(self.run.epoch, self.run.first_batch + batch))
        self.reported.append(names)
        if count > self.limit:
            raise ValueError(
                f"The loss is not finite in {count} steps of the run {self.run.source}, more than may be skipped"
                f" ({self.limit}): last in"
                f" {'; '.join(dict.fromkeys(self.reported[-3:]))} ({step}). If these are always the same images, look"
                " at them and leave them"
                " out; else lower the learning rate, in another folder. The newest checkpoint is of a good step; to go"
                " on from there, allow"
                " more (max_skipped of the training)."
            )
        if self.report:
            print(
                f"deepsim: skipped a step whose loss is not finite ({step}; {count} of at most {self.limit} in this"
                f" run): {names}",
                file=sys.stderr,
            )


def batch_names(dataset, images, batch_size, seed, in_epoch, steps_per_epoch):
    """The names of a batch, without its images.

    A function of (epoch, batch) of the recipe that returns a list of texts.

    Which images are in a batch is known to `dataset` alone (`data.pipelines`), so it is asked, with images of one voxel
    whose intensity is their number.

    Args:
        dataset: `registration_dataset`, `segmentation_dataset` or `autoencoder_dataset`.
        images, batch_size, seed: what the training gives it.
        in_epoch: batches in an epoch of the images.
        steps_per_epoch: batches in an epoch of the recipe.
    """
    voxel = (1,) * len(images.shape)
    texts = [*(" and ".join(map(str, images.files(i)[:1])) or name for i, name in enumerate(images.names)), "atlas"]
    labels = None if images.classes is None else np.zeros(voxel, np.int32)

    def number(i):
        return np.full((*voxel, 1), i, np.float32), labels

    def names(epoch, batch):
        atlas = None if images.atlas is None else number(len(images))
        numbers = ImageSet(
            number,
            images.names,
            name=images.name,
            split=images.split,
            classes=images.classes,
            shape=voxel,
            spacing=images.spacing,
            intensity="none",
            pairs=images.pairs(),
            atlas=atlas,
        )
        first, skipped = divmod(epoch * steps_per_epoch + batch, in_epoch)
        stream = dataset(numbers, batch_size, training=True, seed=seed, first_epoch=first).skip(skipped)
        x = next(iter(stream))[0]
        parts = [x["moving"], x["fixed"]] if isinstance(x, dict) else [x]
        return [" -> ".join(texts[int(i)] for i in row) for row in np.stack([np.ravel(part) for part in parts], axis=1)]

    return names
