"""What the measures take: the checks of their arguments, each said in one sentence, and their precision."""

import keras
import numpy as np
from keras import ops

from deepsim_tf import checks


def checked_images(who, *, check_types=checks.float_images, **images):
    """Two images, or label maps, that can be compared, or one, as tensors in float32 or float64.

    Args:
        who: begins the error.
        check_types: of the images.
        images: one or two arrays or tensors (batch, *spatial, channels) by name.

    Raises:
        ValueError: integers; unequal shapes; not two or three spatial axes; NaN or infinity in a NumPy array. In a
            tensor these pass, and make the measure NaN: a training can then skip the step.
    """
    images = {name: as_array(image) for name, image in images.items()}
    check_types(who, **images)
    if len(images) > 1:
        checks.equal_shapes(who, **images)
    name, image = list(images.items())[-1]
    checks.image_rank(who, name, image)
    _finite(who, "images", images)
    return [at_least_float32(image) for image in images.values()]


def checked_field(who, name, field, *, ndim=None, least=1):
    """A displacement or velocity (batch, *spatial, ndim) as a tensor in float32 or float64.

    Args:
        who, name: of the error.
        field: array or tensor.
        ndim: number of spatial axes. Default: 2 or 3.
        least: number of voxels on every axis.

    Raises:
        ValueError: integers; another rank, or not one component for each axis; too few voxels; NaN or infinity in a
            NumPy array (see `checked_images`).
    """
    field = as_array(field)
    checks.float_fields(who, **{name: field})
    found = len(field.shape) - 2
    right = found in (2, 3) if ndim is None else found == ndim
    if not right or field.shape[-1] != found or any(n is not None and n < least for n in field.shape[1:-1]):
        expected = f"a {'2-D or 3-D' if ndim is None else f'{ndim}-D'} field, (batch, *spatial, ndim)"
        expected += f", of at least {least} voxels on every axis" if least > 1 else ""
        raise ValueError(f"{who} expects {expected}. Received: {name}.shape={tuple(field.shape)}.")
    _finite(who, "fields", {name: field})
    return at_least_float32(field)


def as_array(values):
    """What has a shape as it is; numbers and lists as a NumPy array."""
    return values if hasattr(values, "shape") else np.asarray(values)


def at_least_float32(values):
    """A tensor in float32 or float64: half precision has too few digits for norms and means over a volume."""
    values = ops.convert_to_tensor(values)
    return values if keras.backend.standardize_dtype(values.dtype) == "float64" else ops.cast(values, "float32")


def _finite(who, what, arrays):
    checks.finite_array(who, what, **{name: a for name, a in arrays.items() if isinstance(a, np.ndarray)})
