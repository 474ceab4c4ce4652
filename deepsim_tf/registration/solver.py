"""What `evaluate`, `register`, `export`, the report and the statistics may ask of whatever registers images.

A Solver.
"""

import numpy as np

from deepsim_tf.registration.prediction import Prediction


class Solver:
    """Anything that registers pairs: a network, VoxelMorph's file, an optimiser without training, a function.

    A subclass defines `solve`, and of the attributes those that differ from these:

    Attributes:
        shape: spatial shape of the grid that it works on, a tuple; images are brought to it. None: any.
        channels: number of channels of the images; None: any.
        ndim: 2 or 3; None: both.
        intensity: the rule by name that brings the intensities of files to what it knows (`deepsim_tf.intensity`);
            None: it knows none, and files need one to be named.
        image_fit: how images of another size are brought to `shape` (`deepsim_tf.grids`), or None.
        spacing: size of a voxel of that grid in mm, one number an axis; None: unknown, or any.
        orientation: where the axes of that grid point, as in "RAS"; None: unknown, or any.
        own_grids: whether the two images of a pair may have grids of their own (`Pair.placement`); else they are
            brought to one.
    """

    shape, channels, intensity, image_fit, spacing, orientation = (None,) * 6
    own_grids = False

    def describe(self):
        """What makes this solver give what it gives, as a dict for registration.json; empty where its file says so."""
        return {}

    @property
    def ndim(self):
        """Number of spatial axes of the images; None: 2 or 3."""
        return None if self.shape is None else len(self.shape)

    @property
    def grid_fit(self):
        """How images of another size are brought to `shape`: `image_fit`; stretched, where it is None."""
        return self.image_fit or "resample"

    def solve(self, pair):
        """Register a batch of pairs.

        Args:
            pair: a `Pair` of arrays on one grid: `shape`, where it is not None.

        Returns:
            A `Prediction`; at least its flow.
        """
        raise NotImplementedError(f"{type(self).__name__} must define solve(pair) -> Prediction.")

    def objective(self):
        """The Objective that it minimises; None where it has none: nothing can then be refined, or mapped."""
        return None

    def integration(self):
        """For a solver whose flow is the integral of a velocity, what refinement needs to go on from that velocity.

        Returns:
            `(velocity, integrate)`: a function of {"moving", "fixed"}, and a function of [velocity, fixed] that gives
            [flow, the field that the regulariser sees], both on tensors; None where the flow is no integral.
        """
        return None

    def graph(self):
        """For a solver that can be written as a TensorFlow graph, what `export` saves.

        Returns:
            `(flow, variables)`: a function of {"moving", "fixed"}, tensors (batch, *shape, channels), that gives the
            flow (batch, *shape, ndim), and the list of tf.Variables that it reads.

        Raises:
            ValueError: it cannot.
        """
        raise ValueError(
            f"A {type(self).__name__} runs in Python and cannot be exported. Expected a model of"
            " ds.models.registration_model, a run of train-registration, or a VoxelMorph .h5 file."
        )


class Identity(Solver):
    """No registration: the displacement is zero. What every solver must beat."""

    def solve(self, pair):
        """See `Solver.solve`."""
        fixed = np.asarray(pair.fixed)
        return Prediction(flow=np.zeros((*fixed.shape[:-1], fixed.ndim - 2), np.float32), warped=pair.moving)


class FunctionSolver(Solver):
    """A function, or a Keras model, as a Solver.

    Args:
        function: takes {"moving", "fixed"}, images (batch, *spatial, channels), and gives {"flow": (batch, *spatial,
            ndim)} in voxels.
    """

    def __init__(self, function):
        self.function = function

    def solve(self, pair):
        """See `Solver.solve`.

        Raises:
            ValueError: the function gives no flow, one of another shape, or one that is not finite.
        """
        result = self.function(pair.images)
        name = getattr(self.function, "__name__", type(self.function).__name__)
        if not isinstance(result, dict) or "flow" not in result:
            received = f"keys {', '.join(map(str, result))}" if isinstance(result, dict) else type(result).__name__
            raise ValueError(f'{name} must give a dict with "flow", in voxels. Received: {received}.')
        fixed, flow = np.asarray(pair.fixed), np.asarray(result["flow"], np.float32)
        expected = (*fixed.shape[:-1], fixed.ndim - 2)
        if flow.shape != expected:
            raise ValueError(f"{name} must give a flow of shape {expected}. Received: {flow.shape}.")
        return Prediction(flow=finite_flow(name, flow))


def finite_flow(name, flow):
    """The flow of a solver, a NumPy array, after a check that no displacement is NaN or infinite.

    Raises:
        ValueError: one is. Images warped by it, and the Dice of labels, would look like results.
    """
    bad = flow.size - np.count_nonzero(np.isfinite(flow))
    if bad:
        raise ValueError(
            f"{name} must give a finite flow. Received: {bad} of {flow.size} numbers that are NaN or infinite. Its"
            " weights may have diverged in training: look at its losses, and take an earlier checkpoint."
        )
    return flow
