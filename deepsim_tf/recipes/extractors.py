"""The table of extractors: what a DeepSim loss may compare features of.

To add an extractor: an entry in `EXTRACTORS`; a loss names it by its key (`losses/table.py`). Where a training of this
package makes its network, the key is that training's task: `recipes.TASK` resolves its recipe, `training.train_TASK`
trains it, and `command` is train-TASK.
"""

import dataclasses
from collections.abc import Callable

from deepsim_tf.extractors import FeatureExtractor


@dataclasses.dataclass(frozen=True)
class ExtractorEntry:
    """A way to a FeatureExtractor.

    Args:
        about: one line, for help and docs.
        load: function of what the recipe's `extractor` names (a run folder or file; None where nothing is named).
        command: the command whose run folder is needed; None where nothing has to be named.
        ndim: the number of axes that its images must have; None for 2 or 3, as those it was trained on.
    """

    about: str
    load: Callable[[str | None], FeatureExtractor]
    command: str | None = None
    ndim: int | None = None

    @property
    def expected(self):
        """What the recipe's `extractor` names, for messages."""
        return f"the run folder of {self.command}, or a .keras file" if self.command else "an .h5 file of weights"


EXTRACTORS = {
    "segmentation": ExtractorEntry(
        "the encoder of a segmentation network", FeatureExtractor.from_model, "train-segmentation"
    ),
    "autoencoder": ExtractorEntry("the encoder of an autoencoder", FeatureExtractor.from_model, "train-autoencoder"),
    "vgg16": ExtractorEntry(
        "VGG16 trained on photographs; downloaded where no file of weights is named",
        lambda path: FeatureExtractor.vgg16("imagenet" if path is None else path),
        ndim=2,
    ),
}
