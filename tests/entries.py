"""Smaller data sets under the names of real ones."""

import dataclasses

import deepsim_tf as ds
from deepsim_tf import recipes


def smaller(dataset, load, settings=None):
    """The table's entry of a data set with other images, `load(split)`, and other settings of its preset cpu."""
    entry = recipes.DATASETS[dataset]
    presets = entry.presets if settings is None else {**entry.presets, "cpu": recipes.Preset(settings)}
    return dataclasses.replace(entry, load=lambda root, split, **_: load(split), presets=presets)


def few_platelets(counts, settings=None):
    """The entry of synthetic-platelet with few pairs of 32 x 32 in each split."""
    dataset = "synthetic-platelet"
    return smaller(
        dataset, lambda split: ds.data.synthetic("platelet", split, size=(32, 32), count=counts[split]), settings
    )
