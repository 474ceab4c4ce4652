"""Adam on the field of one pair of images: the graph of a step, and the loop around it.

The optimiser without training and the refinement of a solver's flow share both.
"""

import dataclasses
import math

import tensorflow as tf

from deepsim_tf.layers.determinant import jacobian_determinant
from deepsim_tf.layers.gaussian import gaussian
from deepsim_tf.registration.pairwise.adam import Adam
from deepsim_tf.registration.pairwise.any_size import AnySize
from deepsim_tf.registration.prediction import Pair, Prediction

LARGE = 2**18  # voxels of a grid from which compiling for its own size pays within a pair


class Descent:
    """The graphs of one step for one objective; they hold no state of a pair, so that threads may share them.

    Args:
        objective: an Objective.
        flow_of: a function of (field, tensors) that gives the flow, (1, *spatial, ndim), and the field that the
            regulariser sees, or None for the flow.
        smoothing: standard deviation of the Gaussian that smooths the gradient, in voxels of the field's grid.
        any_size: whether one graph may serve grids of any size below `LARGE`, which spares the tracing. Else, and for
            a larger grid, each size gets its own, parts of which are compiled.
    """

    def __init__(self, objective, flow_of, *, smoothing=0.0, any_size=False):
        self.objective, self.flow_of, self.smoothing, self.any_size = objective, flow_of, smoothing, any_size
        self._of_one_size, self._of_any_size = tf.function(self._step, autograph=False), AnySize(self._step)

    @property
    def graphs(self):
        """How many graphs were traced."""
        return self._of_one_size.experimental_get_tracing_count() + len(self._of_any_size.graphs)

    def step(self, tensors, field, state, count, learning_rate):
        """Evaluate a field, and move it for the next.

        Args:
            tensors: dict of what stays: "moving" and "fixed" (1, *spatial, channels), optionally "moving_mask" and
                "fixed_mask" (1, *spatial), and what `flow_of` needs.
            field: (1, *grid, ndim).
            state: of Adam.
            count: number of the step, from 1 on.
            learning_rate: in voxels of the field's grid.

        Returns:
            (flow, terms, folds, moved, state): the flow of `field`, the terms of its loss, the fraction of voxels where
            it folds, and the field and the state after the step.
        """
        arguments = (tensors, field, state, tf.constant(float(count)), tf.constant(float(learning_rate)))
        if not self.any_size or tensors["fixed"].shape[1:-1].num_elements() >= LARGE:
            return self._of_one_size(*arguments)
        return self._of_any_size(field.shape[-1], *arguments)

    def _step(self, tensors, field, state, count, learning_rate):
        masks = {name: tensors.get(name) for name in ("moving_mask", "fixed_mask")}
        pair = Pair(moving=tensors["moving"], fixed=tensors["fixed"], **masks)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(field)
            flow, seen = self.flow_of(field, tensors)
            terms = self.objective.terms(pair, Prediction(flow=flow, velocity=seen))
            # The loss is a mean over the voxels; times their number, its gradient is of a size that neither Adam's
            # epsilon nor the half precision of an extractor swallows, whatever the size of the image.
            scaled = terms["loss"] * tf.cast(tf.size(tensors["fixed"]), tf.float32)
        gradient = gaussian(tape.gradient(scaled, field), self.smoothing)
        moved, state = Adam.moved(field, gradient, state, count, learning_rate)
        folds = tf.reduce_mean(tf.cast(jacobian_determinant(flow) <= 0, tf.float32))
        return flow, terms, folds, moved, state


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What `minimise` found.

    Attributes:
        field, flow: the best, tensors (1, *grid, ndim) and (1, *spatial, ndim).
        history: dict of lists with an entry for the start and one for each step, `loss` and the terms by name
            (`Objective.terms`), and `best`, the number of the step whose field is returned.
    """

    field: tf.Tensor
    flow: tf.Tensor
    history: dict


def minimise(descent, tensors, field, *, steps, learning_rate, patience, tolerance, check=None):
    """Steps of Adam from a field on, as long as the loss falls.

    The best field is that of the lowest loss among those that fold no larger a fraction of the voxels than the start.

    Args:
        descent: a Descent.
        tensors: see `Descent.step`.
        field: to begin with, (1, *grid, ndim).
        steps: how many at most.
        learning_rate: a function of the number of the step, from 0 on.
        patience, tolerance: stop early where the lowest loss fell by no more than `tolerance` of itself in the last
            `patience` steps.
        check: called with the flow of the start.

    Returns:
        Found. Where the loss is not finite at the start, that is the start, with an empty history.
    """
    history = {"loss": [], **{name: [] for name in descent.objective.names}, "best": 0}
    best, allowed, lowest, state = (field, None), 0.0, [], Adam.start(field)
    for step in range(steps + 1):  # each evaluates the field, and moves it for the next
        flow, terms, folds, moved, state = descent.step(tensors, field, state, step + 1, learning_rate(step))
        terms, folds = {name: float(value) for name, value in terms.items()}, float(folds)
        if step == 0:
            best, allowed = (field, flow), folds
            if check is not None:
                check(flow)
        if not math.isfinite(terms["loss"]):
            break
        for name, value in terms.items():
            history[name].append(value)
        if terms["loss"] < history["loss"][history["best"]] and folds <= allowed:
            best, history["best"] = (field, flow), step
        lowest.append(min([*lowest[-1:], terms["loss"]]))
        if step >= patience and lowest[-1 - patience] - lowest[-1] <= tolerance * abs(lowest[-1 - patience]):
            break
        field = moved
    return Found(*best, history)
