"""Integration of a stationary velocity: VoxelMorph's VecInt, vectorised over the batch."""

import keras
import tensorflow as tf

from deepsim_tf._compat import vxm
from deepsim_tf.layers.compiled import compiled_if_large
from deepsim_tf.layers.warp import warp


def integrate(velocity, *, int_steps=7):
    """Displacement of the flow of a stationary velocity field after unit time, by scaling and squaring.

    v / 2^n is composed with itself n times: u <- u + u o (id + u) (Arsigny et al., MICCAI 2006).

    Args:
        velocity: tensor (batch, *spatial, ndim), voxels per unit time.
        int_steps: number n of squarings; 0 returns the velocity.

    Returns:
        Displacement in voxels, (batch, *spatial, ndim).
    """
    flow = velocity / 2**int_steps
    # Each squaring is compiled by itself: all of them as one would compute the first anew for every neighbour in the
    # last.
    square = compiled_if_large(_square, tf.convert_to_tensor(flow))
    if square is _square and not tf.executing_eagerly():
        square = tf.function(_square, autograph=False)  # traced once for all squarings, and so is its gradient
    for _ in range(int_steps):
        flow = square(flow)
    return flow


def _square(flow):
    """u + u o (id + u)."""
    return flow + warp(flow, flow)


@keras.saving.register_keras_serializable("deepsim_tf")
class VecInt(vxm.layers.VecInt):
    """VoxelMorph's VecInt by scaling and squaring, with the same constructor and numbers, without `tf.map_fn`."""

    def __init__(self, indexing="ij", method="ss", int_steps=7, out_time_pt=1, ode_args=None, odeint_fn=None, **kwargs):
        # VoxelMorph's constructor calls super(self.__class__, self), which never ends in a subclass: go around it.
        keras.layers.Layer.__init__(self, **{"dtype": "float32", **kwargs})
        if method not in ("ss", "scaling_and_squaring") or indexing != "ij":
            raise ValueError(
                f"VecInt here knows method='ss' and indexing='ij'. Received: method={method!r}, indexing={indexing!r}."
            )
        self.indexing, self.method, self.int_steps, self.inshape = indexing, method, int_steps, None
        self.out_time_pt, self.ode_args, self.odeint_fn = (
            out_time_pt,
            ode_args or {"rtol": 1e-6, "atol": 1e-12},
            odeint_fn,
        )

    def call(self, inputs):
        """Integrate one velocity, or a list that holds one; see `integrate`."""
        return integrate(inputs[0] if isinstance(inputs, (list, tuple)) else inputs, int_steps=self.int_steps)

    def compute_output_shape(self, input_shape):
        """A displacement has the shape of its velocity."""
        return tuple(input_shape)
