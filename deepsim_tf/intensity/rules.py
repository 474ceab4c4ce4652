"""Intensity rules by name, so that a solver can apply its training data's rule to new files.

`rules_graph` has the same as TensorFlow operations.
"""

import numpy as np

RULES = "minmax, quantile, quantile:LOW:HIGH with 0 <= LOW < HIGH <= 1, fixed:LOW:HIGH with LOW < HIGH, none"


def parse_rule(rule):
    """(name, low, high) of a rule's name; None for numbers that it does not have.

    Raises:
        ValueError: unknown rule.
    """
    name, *numbers = str(rule).split(":")
    try:
        numbers = tuple(float(number) for number in numbers)
    except ValueError:
        numbers = (np.nan,)
    if name in ("minmax", "none") and not numbers:
        return name, None, None
    if name == "quantile" and not numbers:
        return name, 0.01, 0.99
    if len(numbers) == 2 and (
        (name == "fixed" and numbers[0] < numbers[1]) or (name == "quantile" and 0 <= numbers[0] < numbers[1] <= 1)
    ):
        return name, *numbers
    raise ValueError(f"Unknown intensity rule {rule!r}. Available: {RULES}.")


def apply_intensity(values, rule):
    """Bring raw intensities to [0, 1], nominally.

    * `"fixed:LOW:HIGH"`: (x - LOW) / (HIGH - LOW), not clipped, so that intensities compare between images;
    * `"minmax"`: as "fixed" with the image's own minimum and maximum;
    * `"quantile"`: as "fixed" with the image's own 1 % and 99 % quantiles, clipped to [0, 1]; `"quantile:LOW:HIGH"`
      takes others. (The authors' code divides by the upper quantile alone.)
    * `"none"`: as they are.

    All channels of an image lie on one scale, so that colours stay what they are.

    Args:
        values: array of raw intensities of one image, of any shape and real dtype.
        rule: the rule's name, such as "fixed:0:256".

    Returns:
        Array of the same shape, float32. NaN and infinity stay, for the caller to report.

    Raises:
        ValueError: unknown rule, or an image without contrast under "minmax" or "quantile".
    """
    name, low, high = parse_rule(rule)
    # In double precision where single does not hold the values exactly; never in integers, in which NumPy's quantile
    # overflows.
    values = np.asarray(values)
    values = values.astype(np.result_type(values, np.float32))
    if name == "minmax":
        low, high = float(values.min()), float(values.max())
    elif name == "quantile":
        low, high = (float(q) for q in np.quantile(values, (low, high)))
    if name != "none" and high <= low:
        raise ValueError(
            f"the rule {rule!r} needs contrast, and the image has {low:g} as its lower and {high:g} as its upper bound"
        )
    if name != "none":
        values -= low
        values /= high - low
    if name == "quantile":
        np.clip(values, 0, 1, out=values)
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, for the caller to report
        return values.astype(np.float32, copy=False)
