"""Adam on tensors, for graphs that hold no state (Kingma and Ba 2015, algorithm 1)."""

import tensorflow as tf

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # as in the recipes


class Adam:
    """The two functions that a descent needs."""

    @staticmethod
    def start(values):
        """The state before the first step: the two moments of the gradient."""
        return tf.zeros_like(values), tf.zeros_like(values)

    @staticmethod
    def moved(values, gradient, state, count, learning_rate):
        """The values after step `count`, a tensor that begins at 1, and the state."""
        mean, square = state
        mean = BETA1 * mean + (1 - BETA1) * gradient
        square = BETA2 * square + (1 - BETA2) * tf.square(gradient)
        unbiased = mean / (1 - BETA1**count), square / (1 - BETA2**count)
        return values - learning_rate * unbiased[0] / (tf.sqrt(unbiased[1]) + EPSILON), (mean, square)
