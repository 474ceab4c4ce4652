"""Datasets as ImageSet objects, and their tf.data pipelines."""

from deepsim_tf.data.image_set import ImageSet
from deepsim_tf.data.phc_u373 import phc_u373
from deepsim_tf.data.pipelines import registration_dataset, segmentation_dataset
from deepsim_tf.data.synthetic import synthetic

__all__ = ["ImageSet", "phc_u373", "synthetic", "segmentation_dataset", "registration_dataset"]  # noqa: RUF022  (pipeline order)
