"""The precision that the layers of a network are made in."""

import contextlib

import keras


@contextlib.contextmanager
def dtype_policy(name):
    """Build layers under a dtype policy, by name; None keeps the global one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
