"""What a solver is asked, a pair of images, and what it answers."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """A batch of pairs to register, arrays or tensors, all on one grid, but for a solver of `own_grids`.

    Attributes:
        moving, fixed: (batch, *spatial, channels), float.
        moving_labels, fixed_labels: (batch, *spatial) integers, or None. Only guidance reads them.
        moving_mask, fixed_mask: (batch, *spatial), weights of the voxels, 0 where they do not count, or None. The
            moving one moves with its image.
        placement: (ndim + 1, ndim + 1), from voxels of fixed to voxels of moving, before any registration; only for a
            solver of `own_grids`. None: the images' centres coincide.
        spacing: length of the voxels of fixed on each axis; None: 1.
    """

    moving: Any
    fixed: Any
    moving_labels: Any = None
    fixed_labels: Any = None
    moving_mask: Any = None
    fixed_mask: Any = None
    placement: Any = None
    spacing: Any = None

    @property
    def images(self):
        """The two images, as a registration network takes them."""
        return {"moving": self.moving, "fixed": self.fixed}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """How the moving images of a Pair come to lie on the fixed ones.

    Attributes:
        flow: (batch, *spatial of fixed, ndim), displacement in voxels of moving: warped(p) = moving(p + flow(p)). It
            holds everything, an affine part too.
        warped: (batch, *spatial, channels), where the solver has it already.
        velocity: the field that the regulariser sees where the flow is the integral of a velocity.
        affine: (batch, ndim + 1, ndim + 1), the affine part, from voxels of fixed to voxels of moving, or None.
        extra: what a solver adds, by name, such as a log variance or the history of its loss.
    """

    flow: Any
    warped: Any = None
    velocity: Any = None
    affine: Any = None
    extra: dict = dataclasses.field(default_factory=dict)
