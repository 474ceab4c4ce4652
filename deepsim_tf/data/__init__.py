"""Datasets as ImageSet objects, and their tf.data pipelines."""

from deepsim_tf.data.image_set import ImageSet
from deepsim_tf.data.label_map import read_label_map
from deepsim_tf.data.own.from_csv import from_csv
from deepsim_tf.data.pipelines import autoencoder_dataset, registration_dataset, segmentation_dataset
from deepsim_tf.data.sets.brain_mri import brain_mri
from deepsim_tf.data.sets.hippocampus import hippocampus
from deepsim_tf.data.sets.phc_u373 import phc_u373
from deepsim_tf.data.sets.platelet_em import platelet_em
from deepsim_tf.data.synthetic.pairs import synthetic

__all__ = [  # noqa: RUF022  (pipeline order)
    "ImageSet",
    "phc_u373",
    "platelet_em",
    "brain_mri",
    "hippocampus",
    "synthetic",
    "from_csv",
    "segmentation_dataset",
    "autoencoder_dataset",
    "registration_dataset",
    "read_label_map",
]
