"""A look at the similarities of an Objective before a training: does each react when the images move?"""

import numpy as np

from deepsim_tf.losses.reaction import reaction_warning, texture

COUNT = 2  # images; more take longer and tell no more


def reaction_warnings(objective, images):
    """A sentence for each similarity that does not react to a shift of images, a list of text.

    Args:
        objective: an Objective.
        images: array (batch, *spatial, channels); the first two are looked at.
    """
    sentences = (reaction_warning(loss, images[:COUNT]) for loss, factor in objective.similarity if factor)
    return [sentence for sentence in sentences if sentence]


def images_of(x, shape, channels):
    """Images to look at before `fit(x)`: of the arrays that it is given, else a texture of the model's kind.

    A tf.data.Dataset or a generator keeps its elements: it may count how often it is read.
    """
    fixed = x.get("fixed") if isinstance(x, dict) else x[-1] if isinstance(x, (list, tuple)) and len(x) == 2 else None
    if hasattr(fixed, "__array__") and np.ndim(fixed) == len(shape) + 2 and len(fixed):
        return np.asarray(fixed[:COUNT])
    return texture(shape, channels)
