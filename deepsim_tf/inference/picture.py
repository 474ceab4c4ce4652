"""A picture of a registered pair.

Before and after, with the fixed image's outlines, differences, and the deformation.
"""

import matplotlib
import nibabel
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_multiotsu, threshold_otsu

from deepsim_tf.figures.drawing import STYLE

OUTLINE = "#00E5FF"
PLANES = (
    ("axial", 2, "R", "L", "A", "P"),
    ("coronal", 1, "R", "L", "S", "I"),
    ("sagittal", 0, "A", "P", "S", "I"),
)  # at right, left, top, bottom
COLUMNS = ("Fixed", "Before", "After", "Difference before", "Difference after", "Deformation")


def save_picture(path, images, field, *, title=None):
    """Draw a registered pair as PNG: a row for an image, three (axial, coronal, sagittal) for a volume.

    Volumes are shown as they lie in the world, voxels in their proportions; a file without header as it is stored. The
    slices go through the middle of what the fixed image shows. Outlines are those of the fixed image, on all three
    images.

    Args:
        path: ends in .png.
        images: {"fixed", "moving", "warped"}, (*spatial) on the fixed grid, in one scale.
        field: the Field of the registration.
        title: text above, or None.
    """
    with matplotlib.rc_context(STYLE):
        figure = _draw(*_for_display(images, field), title)
        FigureCanvasAgg(figure)
        figure.savefig(path, format="png", dpi=130, bbox_inches="tight", pad_inches=0.06)


def _for_display(images, field):
    """Images and (*spatial, ndim) flow in voxels, axes right - anterior - superior for volumes with header.

    And the voxel sizes.
    """
    flow = field.voxels()
    sizes = np.linalg.norm(field.affine[:-1, :-1], axis=0)
    if field.ndim == 2 or field.unit != "mm":
        return images, flow, sizes, field.unit
    ornt = nibabel.orientations.io_orientation(field.affine)
    images = {name: nibabel.apply_orientation(image, ornt) for name, image in images.items()}
    turned = np.stack([nibabel.apply_orientation(flow[..., int(c)], ornt) for c in range(3)], axis=-1)
    ordered, target = np.empty_like(turned), np.empty(3)
    for axis, (to, flip) in enumerate(ornt):
        ordered[..., int(to)], target[int(to)] = flip * turned[..., axis], sizes[axis]
    return images, ordered, target, field.unit


def _draw(images, flow, sizes, unit, title):
    fixed, moving = (
        images[name][:: max(1, len(images[name]) // 64)] for name in ("fixed", "moving")
    )  # enough for quantiles
    low, high = np.percentile(np.stack([fixed, moving]), (0.5, 99.7))
    spread = max(np.percentile(np.abs(moving - fixed), 99.5), 1e-6)
    rows = list(_planes(images, flow, sizes, unit))
    levels = _levels(images["fixed"])
    extents = [(row["fixed"].shape[1] * row["sizes"][1], row["fixed"].shape[0] * row["sizes"][0]) for row in rows]
    alone = len(rows) == 1  # an image has the whole page: two rows of three
    width = 4.0 if alone else 2.3
    heights = [min(width * tall / wide, 1.6 * width) for wide, tall in extents] * (2 if alone else 1)
    figure = Figure(
        figsize=(len(COLUMNS) * width / (2 if alone else 1), sum(heights) + 0.3 * len(heights) + 0.4),
        layout="compressed",
    )
    axes = figure.subplots(len(heights), len(COLUMNS) // (2 if alone else 1), squeeze=False, height_ratios=heights)
    axes = axes.reshape(len(rows), len(COLUMNS))
    for panels, row in zip(axes, rows):
        extent = (0, row["fixed"].shape[1] * row["sizes"][1], 0, row["fixed"].shape[0] * row["sizes"][0])
        common = {"origin": "lower", "extent": extent}
        for axis, name in zip(panels, ("fixed", "moving", "warped")):
            axis.imshow(row[name], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), **common)
            _outline(axis, row["fixed"], levels, extent)
        for axis, name in zip(panels[3:], ("moving", "warped")):
            axis.imshow(row[name] - row["fixed"], cmap="RdBu_r", vmin=-spread, vmax=spread, **common)
        _grid(panels[5], row["flow"], row["sizes"], extent)
        _ends(panels[0], row["ends"])
        for axis in panels:
            axis.set(xticks=[], yticks=[], frame_on=False)
        panels[0].set_ylabel(row["name"])
    for axis, name in zip(axes[0], COLUMNS):
        axis.set_title(name)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _planes(images, flow, sizes, unit):
    """The planes to show, rows upwards.

    Their images, in-plane flow in pixels, pixel sizes (up, right), and the letters at their ends.
    """
    fixed = images["fixed"]
    if fixed.ndim == 2:
        if unit == "mm":  # axes (x, y): x to the right
            yield {
                **{k: v.T for k, v in images.items()},
                "flow": flow.swapaxes(0, 1)[..., ::-1],
                "sizes": sizes[::-1],
                "name": "",
                "ends": "",
            }
        else:  # rows downwards, as every viewer shows them
            yield {
                **{k: v[::-1] for k, v in images.items()},
                "flow": flow[::-1] * (-1, 1),
                "sizes": sizes,
                "name": "",
                "ends": "",
            }
        return
    middle = _middle(fixed)
    if unit != "mm":
        k = middle[0]
        row = {name: image[k, ::-1] for name, image in images.items()}
        yield {
            **row,
            "flow": flow[k, ::-1, :, 1:] * (-1, 1),
            "sizes": sizes[1:],
            "name": f"page {k + 1} of {len(fixed)}",
            "ends": "",
        }
        return
    for name, axis, *ends in PLANES:
        across, up = [d for d in range(3) if d != axis]  # shown to the right and upwards
        cut = {key: image.take(middle[axis], axis).T for key, image in images.items()}
        in_plane = flow.take(middle[axis], axis)[..., [up, across]].swapaxes(0, 1)
        yield {**cut, "flow": in_plane, "sizes": sizes[[up, across]], "name": name, "ends": ends}


def _middle(fixed):
    """The voxel in the middle of what the image shows: the median position of its foreground."""
    coarse = fixed[tuple(slice(None, None, max(1, n // 48)) for n in fixed.shape)]
    steps = [max(1, n // 48) for n in fixed.shape]
    inside = np.argwhere(coarse > threshold_otsu(coarse)) if coarse.min() < coarse.max() else np.zeros((0, 3))
    if not len(inside):
        return [n // 2 for n in fixed.shape]
    return [int(np.median(inside[:, d])) * steps[d] for d in range(3)]


def _levels(fixed):
    """Two grey levels between three classes of the image's intensities (Otsu), or none without contrast."""
    values = fixed[tuple(slice(None, None, max(1, n // 96)) for n in fixed.shape)]
    try:
        return sorted({float(level) for level in threshold_multiotsu(values, classes=3)})
    except ValueError:  # fewer than three different values
        return [float(threshold_otsu(values))] if values.min() < values.max() else []


def _outline(axis, plane, levels, extent):
    smooth = gaussian_filter(plane, max(0.7, min(plane.shape) / 250))
    shown = [level for level in levels if smooth.min() < level < smooth.max()]
    if shown:
        lines = axis.contour(smooth, levels=shown, colors=OUTLINE, linewidths=0.7, extent=extent, origin="lower")
        lines.set_path_effects([withStroke(linewidth=1.4, foreground="#00000060")])


def _grid(axis, flow, sizes, extent):
    """A regular grid, about 22 lines to the longer side, drawn where its points lie in the moving image."""
    rows, columns = flow.shape[:2]
    step = max(1, round(max(rows, columns) / 22))
    points = (np.moveaxis(np.indices((rows, columns)), 0, -1) + 0.5 + flow) * sizes
    xy = points[..., ::-1]
    axis.add_collection(LineCollection([*xy[::step], *xy[:, ::step].swapaxes(0, 1)], colors="0.15", linewidths=0.6))
    axis.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")


def _ends(axis, letters):
    places = (
        (0.98, 0.5, "right", "center"),
        (0.02, 0.5, "left", "center"),
        (0.5, 0.98, "center", "top"),
        (0.5, 0.02, "center", "bottom"),
    )
    for letter, (x, y, horizontal, vertical) in zip(letters, places):
        text = axis.text(x, y, letter, transform=axis.transAxes, ha=horizontal, va=vertical, color="w", fontsize=7)
        text.set_path_effects([withStroke(linewidth=1.5, foreground="k")])
