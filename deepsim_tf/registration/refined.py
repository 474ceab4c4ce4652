"""Instance refinement.

The network's flow, improved on one pair of images by some steps of Adam on the loss of the training.
"""

import math
import weakref

import keras
import numpy as np
import tensorflow as tf

from deepsim_tf import checks, metrics
from deepsim_tf.layers import integrate, resize, warp

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # of Adam, as in the recipes
SQUARINGS = 4  # of the correction's velocity
AGREEMENT = 0.05  # voxels by which a flow may differ from the network's own, with integration

_refinements = weakref.WeakKeyDictionary()  # model -> its Refinement: one graph a model, not one a pair


def refine_flow(model, moving, fixed, flow, *, steps, learning_rate=0.1, patience=10, tolerance=0.01):
    """Improve the flow of one pair by minimising the model's own loss over it; the network's weights stay as they are.

        loss(flow) = similarity(fixed, moving o flow) + weight * regularizer(flow)

    A network that was trained on many pairs leaves a rest on each, which a few steps of descent on that pair take away.
    What is varied is a velocity on a grid of half the resolution, integrated by scaling and squaring. Without
    `int_steps` it starts at zero, and gives a correction u that comes before the network's flow, p -> p + u(p) + flow(p
    + u(p)): as u is diffeomorphic, the sum folds where the network's flow does, and hardly elsewhere. With `int_steps`
    it starts as the network's own velocity, which the regulariser sees, too.
    A supervised term of the training is left out: there are no labels at registration.

    Returned is the flow with the lowest loss among those that fold no larger a fraction of the voxels than the start
    (det J <= 0, `ds.metrics.folding_fraction`): never one with a higher loss or more folds than the start, on the
    model's grid.

    Args:
        model: a compiled registration model; its similarity, regulariser and weight are the loss.
        moving, fixed: float arrays (*model.shape, 1), as the network sees them.
        flow: the network's flow for them, (*model.shape, ndim) in voxels. Without integration any other start does,
            too, such as zero.
        steps: how many at most; 0 gives the flow back. Later steps gain less.
        learning_rate: of Adam, in voxels of the velocity's grid, which are two of the image's: about how far a voxel
            moves in a step. Larger is faster, and rougher in the first steps.
        patience, tolerance: stop early where the lowest loss fell by no more than `tolerance` of itself in the last
            `patience` steps.

    Returns:
        (flow, history): the flow (*model.shape, ndim), float32; and a dict of the lists `loss`, `similarity` and
        `regularizer`, with an
        entry for the start and one for each step, and `best`, the step whose flow is returned: 0 where none was better
            than the start.

    Raises:
        ValueError: a model without a loss, arrays of another shape or type, NaN or infinity, settings out of range, or
            with `int_steps > 0` a flow that is not the network's own.

    Reference:
        Balakrishnan, Zhao, Sabuncu, Guttag and Dalca, IEEE TMI 38(8), 2019, on refining VoxelMorph's flow for an
        instance.
    """
    _check_settings(steps, learning_rate, patience, tolerance)
    refinement = _refinement(model)
    moving, fixed, flow = _checked_arrays(model, moving, fixed, flow)
    best, allowed = flow, metrics.folding_fraction(flow)
    history, lowest = (
        {"loss": [], "similarity": [], "regularizer": [], "best": 0},
        [],
    )  # lowest[t]: the lowest loss until step t
    pair = [tf.constant(array[None]) for array in (moving, fixed, flow)]
    state = refinement.start(*pair)
    for step in range(steps + 1):  # each evaluates the velocity, and moves it for the next
        found, terms, state = refinement.step(*pair, state, tf.constant(step + 1.0), tf.constant(float(learning_rate)))
        found, terms = found.numpy()[0], {name: float(value) for name, value in terms.items()}
        if step == 0 and not np.abs(found - flow).max() <= AGREEMENT:
            raise ValueError(
                "With int_steps > 0 the refinement starts at the velocity that the network predicts for these images."
                " Received: a flow that"
                f" differs from the network's by up to {np.abs(found - flow).max():.3g} voxels. Pass the flow that the"
                " model predicts for them."
            )
        if not math.isfinite(terms["loss"]):
            break
        for name, value in terms.items():
            history[name].append(value)
        if terms["loss"] < history["loss"][history["best"]] and metrics.folding_fraction(found) <= allowed:
            best, history["best"] = found, step
        lowest.append(min([*lowest[-1:], terms["loss"]]))
        if step >= patience and lowest[-1 - patience] - lowest[-1] <= tolerance * abs(lowest[-1 - patience]):
            break
    return best, history


class Refinement:
    """The graph of one step for one model; it holds no state of a pair, so that threads may share it.

    Args:
        model: a compiled RegistrationModel.
    """

    def __init__(self, model):
        # Not the model itself: the entry in `_refinements` would then keep it alive for ever.
        self.objective = objective_of(model)
        self.predicted, self.integrated = _integration(model) if model.int_steps else (None, None)
        self.step = tf.function(self._step, autograph=False)

    def start(self, moving, fixed, flow):
        """The velocity to begin with, (1, *half, ndim), and Adam's two moments of its gradient."""
        if self.predicted is None:
            velocity = tf.zeros((1, *[-(-n // 2) for n in flow.shape[1:-1]], flow.shape[-1]))
        else:
            velocity = self.predicted({"moving": moving, "fixed": fixed}, training=False)
        return velocity, tf.zeros_like(velocity), tf.zeros_like(velocity)

    def _step(self, moving, fixed, start, state, count, learning_rate):
        """The flow and the loss of a velocity, and the state after a step of Adam (Kingma and Ba 2015, algorithm 1)."""
        velocity, mean, square = state
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(velocity)
            if self.integrated is None:
                flow, field = corrected(start, velocity), None
            else:
                flow, field = self.integrated([velocity, fixed])
            loss, similarity, regularizer = self.objective.terms(moving, fixed, flow, field=field)
            # The loss is a mean over the voxels; times their number, its gradient is of a size that neither Adam's
            # epsilon nor the half precision of an extractor swallows, whatever the size of the image.
            scaled = loss * tf.cast(tf.size(fixed), tf.float32)
        gradient = tape.gradient(scaled, velocity)
        mean = BETA1 * mean + (1 - BETA1) * gradient
        square = BETA2 * square + (1 - BETA2) * tf.square(gradient)
        unbiased = mean / (1 - BETA1**count), square / (1 - BETA2**count)
        moved = velocity - learning_rate * unbiased[0] / (tf.sqrt(unbiased[1]) + EPSILON)
        return flow, {"loss": loss, "similarity": similarity, "regularizer": regularizer}, (moved, mean, square)


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
    u = resize(integrate(velocity, int_steps=SQUARINGS), flow.shape[1:-1], align_corners=True) * tf.constant(
        ratio, flow.dtype
    )
    return u + warp(flow, u)


def objective_of(model):
    """The Objective that a model was compiled with.

    Raises:
        ValueError: it was not compiled.
    """
    if getattr(model, "similarity", None) is None:
        raise ValueError(
            "Refinement minimises the loss that the model was trained with, and this model has none: it was saved"
            " without compile, or is a"
            " VoxelMorph .h5 file. Register without refinement, or give a ds.models.registration_model its loss, as in"
            " model.compile(similarity=ds.losses.LocalNCC(), regularizer=ds.losses.Diffusion(), weight=0.25)."
        )
    return model.objective()


def _refinement(model):
    """The model's Refinement: made once, and anew where the model was compiled with another loss."""
    found = _refinements.get(model)
    if found is None or any(a is not b for a, b in zip(found.objective, objective_of(model))):
        found = _refinements[model] = Refinement(model)
    return found


def _integration(model):
    """The network in two.

    Up to the padded velocity at half resolution, and from there, with the fixed image for its size, to flow and
    velocity.
    """
    network = model.network
    velocity = network.get_layer("velocity_half").output
    end = [network.output[name] for name in ("flow", "velocity")]
    return keras.Model(network.input, velocity), keras.Model([velocity, network.input["fixed"]], end)


def _checked_arrays(model, moving, fixed, flow):
    """The three as float32, after the checks."""
    arrays = {"moving": np.asarray(moving), "fixed": np.asarray(fixed), "flow": np.asarray(flow)}
    expected = {"moving": (*model.shape, 1), "fixed": (*model.shape, 1), "flow": (*model.shape, len(model.shape))}
    checks.float_images("refine_flow", moving=arrays["moving"], fixed=arrays["fixed"])
    for name, array in arrays.items():
        if array.shape != expected[name]:
            raise ValueError(
                f"refine_flow expects {name} on the model's grid, {expected[name]}. Received:"
                f" {name}.shape={array.shape}."
            )
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
