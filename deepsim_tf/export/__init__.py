"""A solver as a folder for TensorFlow Serving, which needs no Python.

Grids, intensity rules and signatures as graphs.
"""

from deepsim_tf.export.saved_model import export

__all__ = ["export"]
