"""Where a registered pair is similar: the DeepSim map beside its images."""

import numpy as np

from deepsim_tf.figures.drawing import check, save
from deepsim_tf.figures.panels import panel_axes, pictures_of, plane
from deepsim_tf.figures.shown import show


def similarity(fixed, warped, map, stem, *, moving=None, map_before=None, title=None, lowest=-1.0):
    """Draws the images of a pair and the similarity at each pixel, with a colour bar.

    Optionally before registration too.

    Args:
        fixed, warped, moving: images, (h, w, channels) or (d, h, w, channels), or without channels. A volume is shown
            by the middle slice along its first axis; three channels are shown as RGB, of others the first one.
        map: DeepSim of fixed and warped at every voxel, on their grid, in [-1, 1], as `ds.register` and
            `DeepSim.similarity_map` give it.
        stem: where to write, without the ending.
        map_before: DeepSim of fixed and moving, or None.
        title: text above the figure, or None.
        lowest: start of the colour scale, which ends at 1. Of similar images, whose map stays near 1, a higher one
            shows more.

    Returns:
        The two paths written.

    Raises:
        ValueError: if an array has another shape than `fixed`, or a map leaves [-1, 1].
    """
    images = {
        name: image for name, image in (("moving", moving), ("fixed", fixed), ("warped", warped)) if image is not None
    }
    maps = {"map_before": map_before, "map": map} if map_before is not None else {"map": map}
    return save(_draw_similarity, stem, images, maps, title, lowest)


def _draw_similarity(images, maps, title, lowest=-1.0):
    images, window = pictures_of(images)
    shape = images["fixed"].shape[:2]
    maps = {name: plane(array, name, shape).astype(float) for name, array in maps.items()}
    for name, values in maps.items():
        expected = "a cosine at every voxel, in [-1, 1]; a similarity, not the loss 1 - similarity"
        check(np.abs(values).max() <= 1 + 1e-3, name, expected, f"values from {values.min():.3g} to {values.max():.3g}")
    check(-1 <= lowest < 1, "a similarity map", "lowest at least -1 and below 1", f"lowest={lowest}")
    figure, axes = panel_axes(1, len(images) + len(maps), shape, title)
    for axis, (name, image) in zip(axes[0], images.items()):
        show(axis, image, window)
        axis.set_title(name.capitalize())
    for axis, (name, values) in zip(axes[0, len(images) :], maps.items(), strict=True):
        # cividis grows in brightness from end to end, so that it reads the same in grey.
        shown = axis.imshow(values, cmap="cividis", vmin=lowest, vmax=1)
        when = {"map_before": "before", "map": "after"}[name] if len(maps) > 1 else ""
        axis.set_title(f"DeepSim {when}".strip() + f"\nmean {values.mean():.3f}")
    # In the panel's own coordinates, so that the bar is as high as the picture.
    bar = figure.colorbar(
        shown, cax=axes[0, -1].inset_axes((1.04, 0, 0.05, 1)), extend="min" if lowest > -1 else "neither"
    )
    bar.set_label("similarity (1: alike)")
    return figure
