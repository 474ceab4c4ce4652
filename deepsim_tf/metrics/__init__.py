"""What registration is judged by: overlap of labels and smoothness of the deformation."""

from deepsim_tf.metrics.deformation import folding_fraction, jacobian_determinant, sd_log_jacobian
from deepsim_tf.metrics.overlap import dice
from deepsim_tf.metrics.surface import hausdorff95

__all__ = ["dice", "folding_fraction", "hausdorff95", "jacobian_determinant", "sd_log_jacobian"]
