"""One registered pair on one page.

Before and after, with the fixed image's outlines, differences, and the deformation.
"""

import dataclasses

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from scipy.ndimage import gaussian_filter

from deepsim_tf.figures.drawing import STYLE
from deepsim_tf.figures.panels import draw_grid
from deepsim_tf.figures.shown import grey, show

OUTLINE = "#00E5FF"
COLUMNS = ("Fixed", "Before", "After", "Difference before", "Difference after", "Deformation")
PLACES = (  # of the letters at the ends: right, left, top, bottom
    (0.98, 0.5, "right", "center"),
    (0.02, 0.5, "left", "center"),
    (0.5, 0.98, "center", "top"),
    (0.5, 0.02, "center", "bottom"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plane:
    """A plane of a pair, its rows upwards.

    Attributes:
        images: {"fixed", "moving", "warped"}, (h, w) or in colour (h, w, 3).
        flow: (h, w, 2), in pixels of the plane.
        sizes: of a pixel, (up, right).
        name: what is written beside it.
        ends: letters at its right, left, top and bottom; "" for none.
    """

    images: dict
    flow: np.ndarray
    sizes: np.ndarray
    name: str = ""
    ends: tuple | str = ""

    @property
    def extent(self):
        """(left, right, bottom, top), as `imshow` takes it."""
        height, width = self.flow.shape[:2]
        return (0, width * self.sizes[1], 0, height * self.sizes[0])


def save_overview(path, planes, window, levels, *, title=None):
    """Draw a registered pair as PNG, a row a plane.

    Args:
        path: ends in .png.
        planes: Planes; one alone has the whole page, in two rows of three panels.
        window: of the intensities, see `shown.grey_window`.
        levels: grey levels of the fixed image that are outlined, on all three images.
        title: text above, or None.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _panels(planes)
        before = np.concatenate([np.abs(_difference(plane, "moving")).ravel() for plane in planes])
        spread = max(np.percentile(before, 99.5), 1e-6)
        for panels, plane in zip(axes, planes):
            _draw(panels, plane, window, levels, spread)
        for axis, name in zip(axes[0], COLUMNS):
            axis.set_title(name)
        if title:
            figure.suptitle(title, fontsize=10)
        FigureCanvasAgg(figure)
        figure.savefig(path, format="png", dpi=130, bbox_inches="tight", pad_inches=0.06)


def _panels(planes):
    """The figure, and its axes (planes, columns)."""
    rows, width = (2, 4.0) if len(planes) == 1 else (1, 2.3)  # rows of panels a plane, inches a panel
    heights = [min(width * plane.extent[3] / plane.extent[1], 1.6 * width) for plane in planes for _ in range(rows)]
    across = len(COLUMNS) // rows
    size = (across * width, sum(heights) + 0.3 * len(heights) + 0.4)
    figure = Figure(figsize=size, layout="compressed")
    axes = figure.subplots(len(heights), across, squeeze=False, height_ratios=heights)
    return figure, axes.reshape(len(planes), len(COLUMNS))


def _draw(panels, plane, window, levels, spread):
    common = {"origin": "lower", "extent": plane.extent}
    fixed = grey(plane.images["fixed"])
    for axis, name in zip(panels, ("fixed", "moving", "warped")):
        show(axis, plane.images[name], window, **common)
        _outline(axis, fixed, levels, plane.extent)
    for axis, name in zip(panels[3:], ("moving", "warped")):
        axis.imshow(_difference(plane, name), cmap="RdBu_r", vmin=-spread, vmax=spread, **common)
    draw_grid(panels[5], (np.moveaxis(np.indices(fixed.shape), 0, -1) + 0.5 + plane.flow) * plane.sizes, 22)
    panels[5].set(xlim=plane.extent[:2], ylim=plane.extent[2:])
    for letter, (x, y, horizontal, vertical) in zip(plane.ends, PLACES):
        text = panels[0].text(
            x, y, letter, transform=panels[0].transAxes, ha=horizontal, va=vertical, color="w", fontsize=7
        )
        text.set_path_effects([withStroke(linewidth=1.5, foreground="k")])
    for axis in panels:
        axis.set(xticks=[], yticks=[], frame_on=False)
    panels[0].set_ylabel(plane.name)


def _difference(plane, name):
    """An image minus the fixed one; in colour, the mean over the colours."""
    return grey(plane.images[name]) - grey(plane.images["fixed"])


def _outline(axis, picture, levels, extent):
    smooth = gaussian_filter(picture, max(0.7, min(picture.shape) / 250))
    shown = [level for level in levels if smooth.min() < level < smooth.max()]
    if shown:
        lines = axis.contour(smooth, levels=shown, colors=OUTLINE, linewidths=0.7, extent=extent, origin="lower")
        lines.set_path_effects([withStroke(linewidth=1.4, foreground="#00000060")])
