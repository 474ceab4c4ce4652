"""What registration is judged by: overlap and surfaces of labels, landmarks, and smoothness of the deformation."""

from deepsim_tf.metrics.deformation import (
    folding_fraction,
    jacobian_determinant,
    non_diffeomorphic_fraction,
    non_diffeomorphic_volume,
    sd_log_jacobian,
)
from deepsim_tf.metrics.landmarks import read_landmarks, target_registration_error
from deepsim_tf.metrics.overlap import dice, voxel_accuracy
from deepsim_tf.metrics.surface import hausdorff95, surface_distance, surface_distances

__all__ = [
    "dice",
    "folding_fraction",
    "hausdorff95",
    "jacobian_determinant",
    "non_diffeomorphic_fraction",
    "non_diffeomorphic_volume",
    "read_landmarks",
    "sd_log_jacobian",
    "surface_distance",
    "surface_distances",
    "target_registration_error",
    "voxel_accuracy",
]
