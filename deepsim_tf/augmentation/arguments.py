"""What every transform asks of its settings and of the dict of tensors that it is called on."""

import math
import numbers


def image_keys(tensors):
    """The keys of the images, which do not end in "labels", in order; refuses a dict without one."""
    keys = [key for key in tensors if not key.endswith("labels")]
    if not keys:
        raise ValueError(
            f"Expected at least one image, a key that does not end in 'labels'. Received: {list(tensors)}."
        )
    return keys


def is_number(value):
    """Whether a setting is a finite number."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def number_range(name, value, *, least=-math.inf, exclusive=False):
    """A setting (least, largest) as a tuple, after a check.

    Args:
        name, value: of the setting.
        least: what its first number may be at least.
        exclusive: whether that number must be above it.
    """
    pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_number, value))
    if not pair or not (least < value[0] if exclusive else least <= value[0]) or not value[0] <= value[1]:
        bound = "" if least == -math.inf else f"{least} {'<' if exclusive else '<='} "
        raise ValueError(
            f"{name} must be a pair (least, largest) with {bound}least <= largest. Received: {name}={value!r}."
        )
    return tuple(value)


class Shown:
    """Mixin: shown as the call that makes the transform."""

    def __repr__(self):
        values = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({values})"
