"""det J of a displacement as TensorFlow operations; `deepsim_tf.metrics.jacobian_determinant` is the same in NumPy."""

import itertools

import tensorflow as tf


def jacobian_determinant(flow):
    """det J of p + flow(p) at every voxel: 1 keeps volumes, below 0 the map folds.

    Args:
        flow: tensor (batch, *spatial, ndim), in voxels, of at least 2 voxels on every axis.

    Returns:
        Tensor (batch, *spatial); central differences, one-sided at the border.
    """
    ndim = len(flow.shape) - 2
    rows = []  # rows[d][c] = d (p + flow)_c / d p_d
    for d in range(ndim):
        slope = tf.unstack(_gradient(flow, d + 1), axis=-1)
        rows.append([part + 1 if c == d else part for c, part in enumerate(slope)])
    total = 0.0
    for order in itertools.permutations(range(ndim)):
        swaps = sum(a > b for a, b in itertools.combinations(order, 2))
        product = rows[0][order[0]]
        for d in range(1, ndim):
            product = product * rows[d][order[d]]
        total += product if swaps % 2 == 0 else -product
    return total


def _gradient(values, axis):
    before = (slice(None),) * axis
    inner = (values[(*before, slice(2, None))] - values[(*before, slice(None, -2))]) / 2
    first = values[(*before, slice(1, 2))] - values[(*before, slice(0, 1))]
    last = values[(*before, slice(-1, None))] - values[(*before, slice(-2, -1))]
    return tf.concat([first, inner, last], axis=axis)
