"""One graph for images of any size."""

import tensorflow as tf

from deepsim_tf.layers.compiled import without_xla


class AnySize:
    """A function of tensors as a graph that is traced once, whatever the sizes of batches and images.

    Tracing takes seconds, longer than many steps on a coarse grid; the graph has no parts under XLA, which know one
    size alone.

    Args:
        function: takes tensors, in dicts and tuples; of batches (batch, n), masks (batch, *spatial) and images (batch,
            *spatial, channels), the sizes are open.
    """

    def __init__(self, function):
        self.function, self.graphs = function, {}

    def __call__(self, ndim, *arguments):
        """The function of the arguments; `ndim` is the number of spatial axes."""
        specs = tf.nest.map_structure(lambda tensor: _spec(tensor, ndim), arguments)
        key = str(specs)
        if key not in self.graphs:
            with without_xla():
                self.graphs[key] = tf.function(self.function, autograph=False).get_concrete_function(*specs)
        return self.graphs[key](*arguments)


def _spec(tensor, ndim):
    shape = list(tensor.shape)
    if len(shape) == 2:
        shape[0] = None
    elif len(shape) > ndim:
        shape[: 1 + ndim] = [None] * (1 + ndim)
    return tf.TensorSpec(shape, tensor.dtype)
