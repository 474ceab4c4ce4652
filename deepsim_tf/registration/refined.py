"""Instance refinement: any solver's flow, improved on one pair of images by some steps of Adam on the solver's loss."""

import dataclasses
import math
import weakref

import numpy as np
import tensorflow as tf

from deepsim_tf import checks
from deepsim_tf.layers import integrate, resize, warp
from deepsim_tf.registration.pairwise.descent import Descent, minimise
from deepsim_tf.registration.prediction import Prediction
from deepsim_tf.registration.solver import Solver

SQUARINGS = 4  # of the correction's velocity
AGREEMENT = 0.05  # voxels by which a flow may differ from the network's own, with integration

_refinements = weakref.WeakKeyDictionary()  # solver -> its Refinement: one graph a solver, not one a pair


class Refined(Solver):
    """A Solver followed by `refine_flow`.

    Args:
        solver: any Solver with an objective.
        steps: of the refinement, at most.
        **settings: further arguments of `refine_flow`.
    """

    def __init__(self, solver, steps, **settings):
        self.solver, self.steps, self.settings = solver, steps, settings
        for name in ("shape", "channels", "intensity", "image_fit", "spacing", "orientation"):
            setattr(self, name, getattr(solver, name))

    def objective(self):
        """See `Solver.objective`: that of the solver whose flow is refined."""
        return self.solver.objective()

    def solve(self, pair):
        """See `Solver.solve`; `extra["history"]` has what `refine_flow` tells of each pair."""
        return self.improve(pair, self.solver.solve(pair))

    def improve(self, pair, prediction):
        """A better Prediction for a Pair, from that of the solver."""
        batch = zip(*map(np.asarray, (pair.moving, pair.fixed, prediction.flow)), strict=True)
        found = [refine_flow(self.solver, *one, steps=self.steps, **self.settings) for one in batch]
        extra = {**prediction.extra, "history": [history for _, history in found]}
        return Prediction(flow=np.stack([flow for flow, _ in found]), affine=prediction.affine, extra=extra)


def refined(solver, steps):
    """The solver, followed by so many steps of refinement; itself where there are none.

    Raises:
        ValueError: a solver that minimises on the pair already.
    """
    if not steps:
        return solver
    if solver.own_grids:
        raise ValueError(
            f"A {type(solver).__name__} minimises its loss on the pair already. Give it more steps (steps=, --steps)"
            f" instead of a refinement. Received: refine={steps}."
        )
    return Refined(solver, steps)


def refine_flow(solver, moving, fixed, flow, *, steps, learning_rate=0.1, patience=10, tolerance=0.01):
    """Improve the flow of one pair by minimising the solver's own loss over it; a network's weights stay as they are.

        loss(flow) = similarity(fixed, moving o flow) + weight * regularizer(flow)

    A network that was trained on many pairs leaves an error on each, which a few steps of descent on that pair reduce.
    What is varied is a velocity on a grid of half the resolution, integrated by scaling and squaring. It starts at
    zero, and gives a correction u that comes before the solver's flow, p -> p + u(p) + flow(p + u(p)): as u is
    diffeomorphic, the sum folds where the solver's flow does, and hardly elsewhere. Where that flow is the integral of
    a velocity (`int_steps` of a network), it starts as this velocity, which the regulariser sees, too.
    A supervised term of the training is left out: there are no labels at registration.

    Returned is the flow with the lowest loss among those that fold no larger a fraction of the voxels than the start
    (det J <= 0, `ds.metrics.folding_fraction`): never one with a higher loss or more folds than the start, on the
    solver's grid.

    Args:
        solver: a Solver with an objective, such as a compiled registration model.
        moving, fixed: float arrays (*solver.shape, channels), as the solver sees them.
        flow: the solver's flow for them, (*solver.shape, ndim) in voxels. Without integration any other start does,
            too, such as zero.
        steps: how many at most; 0 gives the flow back. Later steps gain less.
        learning_rate: of Adam, in voxels of the velocity's grid, which are two of the image's: about how far a voxel
            moves in a step. Larger is faster, and rougher in the first steps.
        patience, tolerance: stop early where the lowest loss fell by no more than `tolerance` of itself in the last
            `patience` steps.

    Returns:
        (flow, history): the flow (*solver.shape, ndim), float32; and a dict of lists with an entry for the start and
        one for each step, `loss`, `similarity`, `regularizer` and their parts by name (`Objective.terms`), with `best`,
        the
        step whose flow is returned: 0 where none was better than the start.

    Raises:
        ValueError: a solver without a loss, arrays of another shape or type, NaN or infinity, settings out of range, or
            with integration a flow that is not the solver's own.

    Reference:
        Balakrishnan, Zhao, Sabuncu, Guttag and Dalca, IEEE TMI 38(8), 2019, on refining VoxelMorph's flow for an
        instance.
    """
    _check_settings(steps, learning_rate, patience, tolerance)
    refinement = _refinement(solver)
    moving, fixed, flow = _checked_arrays(solver, moving, fixed, flow)

    def agrees(found):
        apart = np.abs(found.numpy()[0] - flow).max()
        if not apart <= AGREEMENT:
            raise ValueError(
                "With int_steps > 0 the refinement starts at the velocity that the network predicts for these images."
                f" Received: a flow that differs from the network's by up to {apart:.3g} voxels."
                " Pass the flow that the model predicts for them."
            )

    tensors = {name: tf.constant(array[None]) for name, array in (("moving", moving), ("fixed", fixed), ("flow", flow))}
    found = minimise(
        refinement.descent,
        tensors,
        refinement.start(tensors),
        steps=steps,
        learning_rate=lambda step: learning_rate,
        patience=patience,
        tolerance=tolerance,
        check=agrees,
    )
    return (found.flow.numpy()[0] if found.history["best"] else flow), found.history


class Refinement:
    """The descent of one solver; it holds no state of a pair, so that threads may share it.

    Args:
        solver: a Solver with an objective.
    """

    def __init__(self, solver):
        # Not the solver itself: the entry in `_refinements` would then keep it alive for ever.
        self.source = _objective_of(solver)
        self.predicted, self.integrated = solver.integration() or (None, None)
        # There are no labels.
        self.descent = Descent(dataclasses.replace(self.source, supervised=()), self._flow_of)

    def start(self, tensors):
        """The velocity to begin with, (1, *half, ndim)."""
        if self.predicted is not None:
            return self.predicted({name: tensors[name] for name in ("moving", "fixed")})
        flow = tensors["flow"]
        return tf.zeros((1, *[-(-n // 2) for n in flow.shape[1:-1]], flow.shape[-1]))

    def _flow_of(self, velocity, tensors):
        if self.integrated is None:
            return corrected(tensors["flow"], velocity), None
        return self.integrated([velocity, tensors["fixed"]])


def corrected(flow, velocity):
    """A flow after the small displacement u of a velocity on a coarser grid: u + flow o (id + u).

    Args:
        flow: (batch, *spatial, ndim), in voxels.
        velocity: (batch, *coarse, ndim), in voxels of its own grid, whose corners are those of the flow's.

    Returns:
        Tensor (batch, *spatial, ndim), in voxels.
    """
    sizes = zip(flow.shape[1:-1], velocity.shape[1:-1], strict=True)
    ratio = [(large - 1) / max(small - 1, 1) for large, small in sizes]
    coarse = integrate(velocity, int_steps=SQUARINGS)
    u = resize(coarse, flow.shape[1:-1], align_corners=True) * tf.constant(ratio, flow.dtype)
    return u + warp(flow, u)


def _objective_of(solver):
    """The Objective of a solver, after a check that it has one."""
    found = solver.objective()
    if found is None:
        raise ValueError(
            "Refinement minimises the loss that the model was trained with, and this model has none: it was saved"
            " without compile, or is a VoxelMorph .h5 file or a function. Register without refinement, or give a"
            " ds.models.registration_model its loss, as in model.compile(similarity=ds.losses.LocalNCC(),"
            " regularizer=ds.losses.Diffusion(), weight=0.25)."
        )
    return found


def _refinement(solver):
    """The solver's Refinement: made once, and anew where a model was compiled with another loss."""
    found = _refinements.get(solver)
    if found is None or found.source is not _objective_of(solver):
        found = _refinements[solver] = Refinement(solver)
    return found


def _checked_arrays(solver, moving, fixed, flow):
    """The three as float32, after the checks."""
    arrays = {"moving": np.asarray(moving), "fixed": np.asarray(fixed), "flow": np.asarray(flow)}
    shape = arrays["fixed"].shape[:-1] if solver.shape is None else tuple(solver.shape)
    channels = arrays["fixed"].shape[-1] if solver.channels is None else solver.channels
    expected = {"moving": (*shape, channels), "fixed": (*shape, channels), "flow": (*shape, len(shape))}
    checks.float_images("refine_flow", moving=arrays["moving"], fixed=arrays["fixed"])
    for name, array in arrays.items():
        if array.shape != expected[name]:
            received = f"Received: {name}.shape={array.shape}."
            raise ValueError(f"refine_flow expects {name} on the model's grid, {expected[name]}. {received}")
    checks.finite_array("refine_flow", **arrays)
    return [array.astype("float32") for array in arrays.values()]


def _check_settings(steps, learning_rate, patience, tolerance):
    for name, value, least in (("steps", steps, 0), ("patience", patience, 1)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"{name} of the refinement must be a whole number, {least} or more. Received: {name}={value!r}."
            )
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(
            "learning_rate of the refinement must be a finite number above 0, in voxels. Received:"
            f" learning_rate={learning_rate!r}."
        )
    if not (math.isfinite(tolerance) and 0 <= tolerance < 1):
        raise ValueError(f"tolerance of the refinement must be in [0, 1). Received: tolerance={tolerance!r}.")
