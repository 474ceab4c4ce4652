"""Parts of a graph under XLA: gathers, integration and losses, while the convolutions around them stay with oneDNN."""

import contextlib
import contextvars

import tensorflow as tf

LARGE = 2**16  # voxels of an image from which compiling for a second pays
_allowed = contextvars.ContextVar("xla", default=True)


def compiled(function):
    """`function` under XLA while a graph is traced, plainly in eager mode, where compiling takes longer.

    Sums over windows, differences of neighbours and interpolation become a few loops: forward and backward take an
    eighth to a half of the time (benchmarks/README.md). The convolutions of the network stay outside, where oneDNN is
    faster than XLA.
    """
    return (
        function
        if tf.executing_eagerly() or not _allowed.get()
        else tf.function(function, jit_compile=True, autograph=False)
    )


def compiled_if_large(function, images):
    """`compiled(function)` where images (batch, *spatial, channels) have `LARGE` voxels or more, else `function`."""
    voxels = images.shape[1:-1].num_elements()
    return function if voxels is None or voxels < LARGE else compiled(function)


@contextlib.contextmanager
def without_xla():
    """Trace without XLA: in a saved graph, a compiled part could run only where XLA is.

    Example:
        >>> with without_xla():
        ...     model.export("served")
    """
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)
