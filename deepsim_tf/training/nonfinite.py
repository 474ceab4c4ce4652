"""Names the images of training steps whose loss is not finite, and ends a training with too many of them."""

import sys

from deepsim_tf.networks.skipping import SkippedSteps


class NonFiniteSteps(SkippedSteps):
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
        super().__init__(limit)
        self.run, self.names, self.report = run, names, report
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

    def on_epoch_end(self, epoch, logs=None):
        """Nothing more: every step has had its line."""


def batch_names(images, order, steps_per_epoch):
    """What is in a batch, by name, without a look at the images.

    Args:
        images: the ImageSet of the training.
        order: its deepsim_tf.data.order.Order.
        steps_per_epoch: batches in an epoch of the recipe, which is not one of the images.

    Returns:
        A function of (epoch, batch) of the recipe that returns a list of texts: file or name of an image, or
        "moving -> fixed".
    """
    texts = [str(next(iter(images.files(i)), name)) for i, name in enumerate(images.names)]
    texts.append("atlas")  # its number in an order is that after the last image

    def names(epoch, batch):
        rows = order.batch(epoch * steps_per_epoch + batch)
        return [" -> ".join(texts[i] for i in row) for row in rows]

    return names
