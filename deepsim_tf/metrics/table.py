"""The table of measures: one entry each, which `evaluate`, tables, the report, statistics and figures read.

To add a measure:
1. its function, in a module of `metrics/`, and
2. an entry in `MEASURES`: the key is the column of pairs.csv and summary.csv. `of` takes it from a `Case`; what several
   measures need is a cached property there.
"""

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from deepsim_tf.metrics.deformation import (
    folding_fraction,
    jacobian_determinant,
    non_diffeomorphic_volume,
    sd_log_jacobian,
)
from deepsim_tf.metrics.landmarks import target_registration_error
from deepsim_tf.metrics.overlap import dice, voxel_accuracy
from deepsim_tf.metrics.surface import surface_distances

LENGTHS = {"mm": 1.0, "µm": 1000.0, "voxels": 1.0}  # how many are in a mm; of voxels, where the spacing is 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A registered pair, as measures see it.

    Args:
        flow: (*spatial, ndim), in voxels.
        spacing: size of a voxel in mm, one number an axis.
        classes: number of classes of the labels, with background.
        fixed_labels, warped_labels: (*spatial) integers, or None.
        landmarks: (moving, fixed, spacing of the moving image) as `ImageSet.landmarks` gives them, or None.
    """

    flow: Any
    spacing: Any = None
    classes: int | None = None
    fixed_labels: Any = None
    warped_labels: Any = None
    landmarks: Any = None

    @functools.cached_property
    def determinant(self):
        """The Jacobian determinant at each voxel."""
        return jacobian_determinant(self.flow)

    @functools.cached_property
    def dice(self):
        """The Dice of each class."""
        return dice(self.fixed_labels, self.warped_labels, self.classes)

    @functools.cached_property
    def surfaces(self):
        """The distances of the surfaces of each class but the background, dict from name to (classes - 1,)."""
        every = surface_distances(
            self.fixed_labels, self.warped_labels, self.classes, spacing=self.spacing, background=False
        )
        return {name: values[1:] for name, values in every.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """How a number is shown.

    Args:
        heading: in tables and figures, without the unit.
        unit: "%", "mm" for a length, which is shown in the unit of the data set, or "" for none.
        factor: what the number is multiplied by to be in that unit.
        digits: after the point; None: three that count, or all of a whole number.
        chosen: a setting rather than a measurement: no trailing zeros.
        signed: whether a plus is written.
        better: "higher", "lower", or None where neither is.
        brief: whether the table in the terminal has it.
    """

    heading: str
    unit: str = ""
    factor: float = 1.0
    digits: int | None = None
    chosen: bool = False
    signed: bool = False
    better: str | None = None
    brief: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure(Column):
    """What is measured on every pair.

    Args:
        of: function of a Case that gives the number.
        each: function of a Case that gives one for each class, in columns NAME_<class>; None for none.
        needs: "labels" (NaN without them), "landmarks" (no column without them), or None.
        slow: left out where `evaluate` is asked to be quick.
    """

    of: Callable[[Case], float]
    each: Callable[[Case], np.ndarray] | None = None
    needs: str | None = None
    slow: bool = False


def _mean(values):
    """The mean of those that are not NaN; NaN where all are."""
    return np.nanmean(values) if np.isfinite(values).any() else np.nan


MEASURES = {
    "dice": Measure(
        heading="Dice",
        of=lambda case: _mean(case.dice),
        each=lambda case: case.dice,
        digits=4,
        better="higher",
        brief=True,
        needs="labels",
    ),
    "accuracy": Measure(
        heading="Accuracy",
        of=lambda case: voxel_accuracy(case.fixed_labels, case.warped_labels),
        digits=4,
        better="higher",
        needs="labels",
    ),
    "hd95": Measure(
        heading="HD95",
        of=lambda case: _mean(case.surfaces["hausdorff95"]),
        unit="mm",
        better="lower",
        brief=True,
        needs="labels",
        slow=True,
    ),
    "assd": Measure(
        heading="ASSD",
        of=lambda case: _mean(case.surfaces["surface_distance"]),
        unit="mm",
        better="lower",
        needs="labels",
        slow=True,
    ),
    "tre": Measure(
        heading="TRE",
        of=lambda case: target_registration_error(
            case.flow, case.landmarks[1], case.landmarks[0], spacing=case.landmarks[2]
        ).mean(),
        unit="mm",
        better="lower",
        brief=True,
        needs="landmarks",
    ),
    "folds": Measure(
        heading="Folds",
        of=lambda case: folding_fraction(case.flow, determinant=case.determinant),
        unit="%",
        factor=100,  # a fraction
        digits=3,
        better="lower",
        brief=True,
    ),
    "sd_log_jacobian": Measure(
        heading="SD log|J|",
        of=lambda case: sd_log_jacobian(case.flow, determinant=case.determinant),
        digits=3,
        better="lower",
        brief=True,
    ),
    "ndv": Measure(
        heading="NDV",
        of=lambda case: non_diffeomorphic_volume(case.flow),
        unit="%",
        digits=3,
        better="lower",
        slow=True,
    ),
}
COLUMNS = {  # what else the tables hold
    "seconds": Column(heading="s / pair", better="lower"),
    "seconds_per_step": Column(heading="s / step", better="lower", brief=True),
    "val_dice": Column(heading="Validation Dice", digits=4, better="higher"),
    "val_accuracy": Column(heading="Validation accuracy", digits=4, better="higher"),
    "val_loss": Column(heading="Validation loss", better="lower"),
    "weight": Column(heading="λ", chosen=True),
    "sigma": Column(heading="σ of the noise", chosen=True),
    "cohens_d": Column(heading="Cohen's d"),
    "best_cohens_d": Column(heading="best is better: Cohen's d"),
    "p": Column(heading="p", digits=3),
    "p_holm": Column(heading="p (Holm)", digits=3),
    "best_p_holm": Column(heading="best is better: p (Holm)", digits=3),
    "mean_difference": Column(heading="Mean difference", digits=4, signed=True),
}


def measured(case, *, quick=False):
    """Every measure of a Case, a dict from column to number in the table's order; `quick` leaves out slow ones."""
    found = {}
    for name, measure in MEASURES.items():
        if (quick and measure.slow) or (measure.needs == "landmarks" and case.landmarks is None):
            continue
        if measure.needs == "labels" and case.fixed_labels is None:
            found[name] = np.nan
            continue
        found[name] = float(measure.of(case))
        if measure.each:
            found |= {f"{name}_{k}": float(value) for k, value in enumerate(measure.each(case))}
    return found


def column(name):
    """The Column of a name in a table: its own entry, that of the measure it is a class of, or a plain one."""
    found = MEASURES.get(name) or COLUMNS.get(name)
    if found:
        return found
    words, base = name.replace("_", " "), class_of(name)
    if base:
        return dataclasses.replace(MEASURES[base], heading=f"{MEASURES[base].heading} {words[len(base) + 1 :]}")
    return Column(heading=words[:1].upper() + words[1:])


def class_of(name):
    """The measure of which a column holds one class, as in dice_3 or dice_cell; None for all other columns."""
    for measure, entry in MEASURES.items():
        if entry.each and re.fullmatch(rf"{measure}_(?!low$|high$).+", name):
            return measure
    return None


def heading(name, unit="mm"):
    """What stands above a column or beside an axis, with its unit; lengths are in `unit`."""
    found = column(name)
    shown = unit if found.unit == "mm" else found.unit
    return f"{found.heading} ({shown})" if shown else found.heading


def scaled(name, value, unit="mm"):
    """A number, or an array, in the unit of its heading."""
    found = column(name)
    return value * found.factor * (LENGTHS[unit] if found.unit == "mm" else 1)


def text(name, value, unit="mm"):
    """A finite number as tables show it: 0.953, 1,200, < 0.001 where it is not 0 but would look so."""
    found, value = column(name), float(scaled(name, value, unit))
    if found.chosen:
        return f"{value:.3g}"
    if found.digits is None:
        whole = value.is_integer() or abs(value) >= 1000
        return f"{value:,.0f}" if whole else f"{value:#.3g}".rstrip(".")
    shown = f"{value:{'+' if found.signed else ''}.{found.digits}f}"
    return f"< {10**-found.digits:.{found.digits}f}" if value > 0 and not float(shown) else shown


def direction(name):
    """Which way a column is better, "higher" or "lower".

    Raises:
        ValueError: neither is, or the column is not known.
    """
    better = column(name).better
    if better is None:
        known = ", ".join(n for n, entry in {**MEASURES, **COLUMNS}.items() if entry.better)
        raise ValueError(f"Which way {name!r} is better is not known. Say better=, or take one of: {known}.")
    return better
