"""The levels of a pyramid are named by their size: `level_k` is 2^k times smaller than the image."""

import math

import keras

from deepsim_tf import checks
from deepsim_tf.extractors.part import part_before

# Two sizes of images, whose difference every stride up to 256 divides: only differences tell the stride, because
# convolutions without padding take some voxels off.
PROBES = (256, 512)


def level_names(levels, available):
    """Resolve `levels` ("all" or a list of names) against the available ones."""
    if isinstance(levels, str) and levels == "all":
        return list(available)
    names = [levels] if isinstance(levels, str) else list(levels)
    if not names:
        raise ValueError(f"levels is empty. Available: {', '.join(available)}.")
    for name in names:
        checks.known("level", name, available)
    return [name for name in available if name in names]


def levels_by_size(part):
    """{name of a level: name of a tap} of a Part, finest first.

    Raises:
        ValueError: a tap that is no map of the image, maps whose stride is no power of 2, and two maps of one size.
    """
    found = {}
    for name, steps in _strides(part).items():
        what = f"Layer {name!r} of model {part.name!r}"
        if steps is None:
            raise ValueError(f"{what} gives no feature map (batch, *spatial, channels) whose size follows the image's.")
        exponents = {round(math.log2(step)) for step in steps}
        level = min(exponents)
        if len(exponents) > 1 or level < 0 or any(not math.isclose(step, 2**level, rel_tol=1e-3) for step in steps):
            raise ValueError(
                f"{what} is {' x '.join(f'{step:.3g}' for step in steps)} times smaller than the image. The maps of an"
                " extractor are 1, 2, 4, 8, ... times smaller, alike on all axes; name another layer."
            )
        if level in found:
            raise ValueError(
                f"Layers {found[level]!r} and {name!r} of model {part.name!r} are of the same size, level_{level}. Name"
                " one layer for each size."
            )
        found[level] = name
    return {f"level_{level}": found[level] for level in sorted(found)}


def is_pyramid(graph, taps):
    """Whether {name: Value} are maps of one image that can be named by their size."""
    try:
        return bool(levels_by_size(part_before(graph, taps)))
    except ValueError:
        return False


def _strides(part):
    """{name of a tap: strides along the spatial axes}; None for a tap that is no map of the image."""
    small, large = (part.run(_images(part.start, side), _spec) for side in PROBES)
    strides = {}
    for name, tensor in small.items():
        steps = None
        if len(tensor.shape) == len(part.start.shape) and None not in tensor.shape[1:]:
            gained = [b - a for a, b in zip(tensor.shape[1:-1], large[name].shape[1:-1], strict=True)]
            steps = [(PROBES[1] - PROBES[0]) / n for n in gained] if min(gained) > 0 else None
        strides[name] = steps
    return strides


def _images(start, side):
    """Symbolic images of a size."""
    return keras.KerasTensor((None, *[side] * (len(start.shape) - 2), start.shape[-1]), start.tensor.dtype)


def _spec(call):
    """What computes the shapes of a call's outputs, and nothing else."""

    def compute(*args, **kwargs):
        try:
            return call.operation.compute_output_spec(*args, **kwargs)
        except Exception as error:  # a layer's own code can fail in any way
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise ValueError(
                f"Layer {call.path!r} does not take images of any size ({reason}). Tap layers before it."
            ) from None

    return compute
