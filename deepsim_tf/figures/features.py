"""What the extractor sees: the feature maps of an image, level by level."""

import numpy as np

from deepsim_tf.figures.drawing import check, save
from deepsim_tf.figures.panels import panel_axes, picture_of
from deepsim_tf.figures.shown import grey_window, show, with_channels

PANELS = 3  # a level


def feature_maps(image, features, stem, *, title=None, components=False):
    """Draws an image and, a column a level, the three channels of its features that vary most over the image.

    Every panel has its own grey window; a level's grid is stretched to the image's size.

    Args:
        image: (h, w, channels) or (d, h, w, channels), or without channels. A volume is shown by the middle slice along
            its first axis; three channels are shown as RGB, of others the first one.
        features: dict from level to its features (h_l, w_l, channels) or (d_l, h_l, w_l, channels), without a batch
            axis.
        stem: where to write, without the ending.
        title: text above the figure, or None.
        components: draws the first three principal components over the channels instead, with their part of the
            variance.

    Returns:
        The two paths written.

    Raises:
        ValueError: if there is no level, or an array has other axes.
    """
    return save(_draw_feature_maps, stem, image, features, title, components)


def _draw_feature_maps(image, features, title, components=False):
    check(features, "feature maps", "at least one level")
    picture, size = picture_of(image, "image"), with_channels(image, "image").shape[:-1]
    figure, axes = panel_axes(PANELS, 1 + len(features), picture.shape, title)
    show(axes[0, 0], picture, grey_window(picture))
    axes[0, 0].set_title(f"image\n{_sizes(size)}" + (f", slice {size[0] // 2}" if len(size) == 3 else ""))
    height, width = picture.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    for column, (level, array) in zip(axes.T[1:], features.items(), strict=True):
        array = np.asarray(array, "float32")
        expected = f"the level's features, {', '.join('dhw'[-len(size) :])}, channels, without a batch axis"
        check(array.ndim == len(size) + 1 and array.shape[-1], f"the features of {level!r}", expected, array.shape)
        maps = array[array.shape[0] // 2] if array.ndim == 4 else array
        count = array.shape[-1]
        heading = f"{level}\n{_sizes(array.shape[:-1])}, {count} channel{'s'[: count != 1]}"
        for n, (axis, (name, values)) in enumerate(zip(column, (_components if components else _channels)(maps))):
            axis.imshow(values, **grey_window(values), extent=extent, interpolation="nearest")
            axis.set_title(f"{heading}\n{name}" if n == 0 else name)
    return figure


def _channels(maps):
    """(h, w, channels) -> the names and maps of the channels of highest variance, highest first."""
    variance = maps.var(axis=(0, 1))
    return [(f"channel {c}", maps[..., c]) for c in np.argsort(-variance, kind="stable")[:PANELS]]


def _components(maps):
    """(h, w, channels) -> the names and maps of the first principal components of the pixels' features."""
    centred = (maps - maps.mean(axis=(0, 1))).reshape(-1, maps.shape[-1]).astype(float)
    variance, axes = np.linalg.eigh(centred.T @ centred)  # ascending
    found = []
    for part, direction in list(zip(variance, axes.T))[: -PANELS - 1 : -1]:
        direction = direction * np.sign(
            direction[np.abs(direction).argmax()]
        )  # a component's sign is free: its largest weight is positive
        share = part / max(variance.sum(), 1e-30)
        found.append((f"component {len(found) + 1}, {share:.0%}", (centred @ direction).reshape(maps.shape[:2])))
    return found


def _sizes(shape):
    return " × ".join(map(str, shape))
