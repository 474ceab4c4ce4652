"""What registration minimises, in training and in instance refinement.

Similarity(fixed, warped) + weight * regularizer(field).
"""

from typing import Any, NamedTuple

import tensorflow as tf

from deepsim_tf.losses.similarity import compare


class Objective(NamedTuple):
    """The unsupervised loss that a registration model was compiled with.

    Attributes:
        similarity: a Keras loss on (fixed, warped).
        regularizer: a Keras loss on (ignored, field), or None.
        weight: of the regulariser, lambda in the paper.
    """

    similarity: Any
    regularizer: Any
    weight: float

    def terms(self, moving, fixed, flow, *, warped=None, field=None, sample_weight=None):
        """Evaluate it for a flow.

        Args:
            moving, fixed: (batch, *spatial, 1).
            flow: (batch, *spatial, ndim), in voxels.
            warped: the moving image warped by the flow, where it is there already.
            field: what the regulariser sees: a velocity, with integration. Default: the flow.
            sample_weight: of the similarity.

        Returns:
            (loss, similarity, regularizer): scalar tensors.
        """
        field = flow if field is None else field
        similarity = tf.convert_to_tensor(
            compare(self.similarity, fixed, moving, flow, warped=warped, sample_weight=sample_weight)
        )
        regularizer = (
            tf.zeros_like(similarity) if self.regularizer is None else self.regularizer(tf.zeros_like(field), field)
        )
        return similarity + self.weight * regularizer, similarity, regularizer
