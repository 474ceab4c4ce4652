"""Intensity rules by name, so that a model can apply its training data's rule to new files."""

import numpy as np


def apply_intensity(values, rule):
    """Apply an intensity rule: "fixed:LOW:HIGH" is (x - LOW) / (HIGH - LOW), not clipped.

    Args:
        values: array of raw intensities of any real dtype.
        rule: the rule's name, such as "fixed:0:256"; "none" keeps the values.

    Returns:
        Array of the same shape, float32.

    Raises:
        ValueError: unknown rule.
    """
    values = np.asarray(values, np.float32)
    name, *numbers = str(rule).split(":")
    if name == "none" and not numbers:
        return values
    try:
        low, high = (np.float32(number) for number in numbers)
    except ValueError:
        low = high = None
    if name != "fixed" or low is None or not high > low:
        raise ValueError(f"Unknown intensity rule {rule!r}. Available: fixed:LOW:HIGH with LOW < HIGH, none.")
    return (values - low) / (high - low)
