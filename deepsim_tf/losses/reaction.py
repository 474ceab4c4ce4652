"""Whether a similarity reacts when an image moves: one that does not is satisfied by any flow."""

import numpy as np
import tensorflow as tf
from scipy import ndimage

from deepsim_tf.losses.deepsim import DeepSim
from deepsim_tf.losses.similarity import Similarity

LEAST = 1e-4  # between healthy similarities and dead ones; see `shift_reaction`
SHIFT = 4  # voxels along every axis
SIDE = {2: 64, 3: 32}  # voxels, of the part of large images that is measured, which takes below half a second


def shift_reaction(similarity, images, *, shift=SHIFT):
    """How well a similarity tells an image from the same image, moved by some voxels.

        (loss(I, I o shift) - loss(I, I)) / unit

    The unit is 1 for a `ds.losses.Similarity`, whose values are of order 1, and for any other Keras loss, which may be
    in squared intensities, the larger of the two values. Large images are measured where they vary most.

    Args:
        similarity: a keras.losses.Loss on (fixed, warped). A DeepSim with an atlas is measured on the images too.
        images: array (batch, *spatial, channels), float.
        shift: in voxels, along every axis; less in images of fewer than four times as many.

    Returns:
        float. Below `LEAST`, 1e-4, the similarity is as good as dead: the flow follows the regulariser alone. Measured
        on 2-D images in [0, 1] ("all": textures of two smoothnesses, cells, platelets, few bright spots), textures of
        mean 0.4 and SD 0.05, which raw features see least of all, and on one of mean 0.5 and SD 0.01:

        | similarity                                             | all              | 0.4 +- 0.05      | 0.5 +- 0.01 |
        |--------------------------------------------------------|------------------|------------------|-------------|
        | MSE, MAE                                               | 1                | 1                | 1           |
        | LocalNCC                                               | 0.19 to 0.86     | 0.27 to 0.70     | 0.68        |
        | MIND                                                   | 0.07 to 0.25     | 0.16 to 0.24     | 0.24        |
        | NMI                                                    | 0.46 to 0.59     | 0.30 to 0.45     | 0.16        |
        | DeepSim, default backbone, untrained                   | 8e-3 to 0.17     | 4e-4 to 5e-3     | 1.5e-4      |
        | DeepSim, default backbone, trained on platelets        | 0.04 to 0.16     | 3e-3 to 0.024    | 7e-4        |
        | DeepSim, paper's backbone, untrained                   | 0.018 to 0.28    | 1e-3 to 0.012    | 4e-4        |
        | DeepSim, paper's backbone, trained                     | 0.019 to 0.49    | 9e-3 to 0.030    | 0.018       |
        | DeepSim, EfficientNetV2B0, random weights, scale=255   | 0.048 to 0.96    | 0.057 to 0.50    | 0.03        |
        | the same without scale: it divides by 255 itself       | 6e-7 to 1.5e-6   | 2e-8 to 2e-7     | 1e-8        |
        | DeepSim, Rescaling(1 / 255) and biases of 0.1          | 1.6e-5 to 6e-5   | 7e-7 to 6e-6     | 2e-7        |
        | constant features; ReLUs that are all off              | 0                | 0                | 0           |
    """
    return _measured(similarity, images, shift)[0]


def reaction_warning(similarity, images, *, shift=SHIFT):
    """The sentence for a similarity that does not react to a shift of images; None where it does.

    Images that are constant tell nothing: a texture is taken for them. This is advice, and ends no training: None is
    the answer too where the images or the loss are not finite, and where the loss fails on them, for `fit` to say.

    Args:
        similarity, images, shift: see `shift_reaction`.
    """
    try:
        images = np.asarray(images, "float32")
        if not np.isfinite(images).all():
            return None
        if not np.ptp(_busiest(images, SIDE[images.ndim - 2])):
            images = texture(images.shape[1:-1], images.shape[-1])
        reaction, levels = _measured(similarity, images, shift)
    except Exception:  # a loss of the user's may fail in any way, for example on a part of an image
        return None
    if reaction >= LEAST or not np.isfinite(reaction):
        return None
    name = type(similarity).__name__
    if reaction < -LEAST:
        return (
            f"{name} falls by {-reaction:.1e} when an image is compared with itself, moved by {shift} voxels. A loss"
            " must rise: change its sign."
        )
    by_level = f" ({', '.join(f'{level} {value:.0e}' for level, value in levels.items())})" if len(levels) > 1 else ""
    remedy = (
        "If the network of its extractor expects intensities in 0..255, pass scale=255 to FeatureExtractor.from_model;"
        " else choose other levels, or images of the intensities and contrast that the network was trained on."
        if isinstance(similarity, DeepSim)
        else "Bring the images to intensities in [0, 1], with more contrast, or choose another similarity."
    )
    return (
        f"{name} hardly reacts when an image moves: an image against itself and against itself moved by {shift} voxels"
        f" differ by {reaction:.1e}{by_level}, where {LEAST:g} is the least that trains (ds.losses.shift_reaction)."
        f" {remedy}"
    )


def texture(shape, channels=1):
    """A smooth random image in [0, 1], (1, *shape, channels) float32, of at most `SIDE` voxels along an axis."""
    shape = [min(n, SIDE[len(shape)]) for n in shape]
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random((*shape, channels)), (*[1.5] * len(shape), 0))
    return ((noise - noise.min()) / max(np.ptp(noise), 1e-6)).astype("float32")[None]


def _measured(similarity, images, shift):
    """(reaction, {level: reaction} of a DeepSim or {})."""
    images = np.asarray(images, "float32")
    side = SIDE[images.ndim - 2]
    if isinstance(similarity, DeepSim):
        side = max(side, *(2 * 2 ** int(level.split("_")[1]) for level in similarity.levels))
    images = _busiest(images, side)
    steps = [max(1, min(shift, n // 4)) for n in images.shape[1:-1]]
    moved = np.pad(images, [(0, 0), *((0, step) for step in steps), (0, 0)], mode="edge")
    moved = moved[(slice(None), *(slice(step, None) for step in steps))]
    images, moved = tf.constant(images), tf.constant(moved)
    if isinstance(similarity, DeepSim):  # by level; of the images, whatever it warps, and without its atlas
        same, other = (similarity.by_level(images, against) for against in (images, moved))
        levels = {level: float(tf.reduce_mean(other[level] - same[level])) for level in same}
        return sum(levels.values()) / len(levels), levels
    if isinstance(similarity, Similarity) and similarity.needs_flow:
        flow = tf.broadcast_to(tf.constant(steps, tf.float32), (*images.shape[:-1], len(steps)))
        same, other = (similarity.of_flow(images, images, field) for field in (0 * flow, flow))
    else:
        same, other = (similarity(images, against) for against in (images, moved))
    same, other = (float(tf.reduce_mean(value)) for value in (same, other))
    unit = 1.0 if isinstance(similarity, Similarity) else max(abs(same), abs(other))
    return ((other - same) / unit if unit else 0.0), {}


def _busiest(images, side):
    """The part of each image, at most `side` voxels along an axis, that varies most."""
    side = [min(n, side) for n in images.shape[1:-1]]
    starts = [
        np.unique(np.append(np.arange(0, n - s, s), n - s)) for n, s in zip(images.shape[1:-1], side, strict=True)
    ]
    places = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, len(side))
    cuts = [tuple(slice(a, a + s) for a, s in zip(place, side, strict=True)) for place in places]
    return np.stack([max((image[cut] for cut in cuts), key=np.var) for image in images])
