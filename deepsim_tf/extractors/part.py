"""The part of a flat graph between the images and the taps: where it begins, and which calls it needs."""

import dataclasses

import keras

from deepsim_tf.extractors.flat_graph import Value
from deepsim_tf.layers import EdgePad


@dataclasses.dataclass(frozen=True)
class Part:
    """What leads from the images to the taps.

    Attributes:
        name: of the model.
        start: the Value that becomes the images.
        calls: list of Call, in order.
        taps: {name: Value}.
    """

    name: str
    start: Value
    calls: list
    taps: dict

    def run(self, images, operation_of):
        """The taps for other images, a dict, with `operation_of(call)` in the place of each layer."""
        tensors = {self.start: images}
        for call in self.calls:
            if isinstance(call.operation, EdgePad):
                # Padding serves the decoder; the encoder alone takes any size, and padded voxels must not count.
                tensors[call.outputs[0]] = tensors[next(iter(call.inputs.values()))]
                continue
            args, kwargs = call.arguments(tensors)
            tensors.update(zip(call.outputs, keras.tree.flatten(operation_of(call)(*args, **kwargs)), strict=True))
        return {name: tensors[value] for name, value in self.taps.items()}


def part_before(graph, taps):
    """The Part of a FlatGraph that ends at the taps, {name: Value}.

    It begins at the model's images; where the taps depend on several inputs, as in a registration network, at the
    first concatenation that joins them, which makes images of their channels together.

    Raises:
        ValueError: inputs that no concatenation joins, or that are no images; channels first; Lambda layers.
    """
    start, calls = _start(graph, taps)
    for call in calls:
        _check(call)
    if len(start.shape) not in (4, 5) or start.shape[-1] is None:
        expected = "(batch, *spatial, channels), 2-D or 3-D, with a known number of channels"
        raise ValueError(
            f"Model {graph.name!r} must take images {expected}. Received: an input of shape {start.shape}."
        )
    return Part(graph.name, start, calls, taps)


def _start(graph, taps):
    calls = _needed(graph, taps.values())
    used = _entries(graph, calls, taps.values())
    if len(used) == 1:
        return used[0], calls
    for call in calls:
        if isinstance(call.operation, keras.layers.Concatenate):
            rest = _needed(graph, taps.values(), start=call.outputs[0])
            if not _entries(graph, rest, taps.values()):
                return call.outputs[0], rest
    names = ", ".join(repr(value.tensor.name) for value in used)
    raise ValueError(
        f"The layers to tap in model {graph.name!r} depend on {len(used)} inputs, {names}, which no Concatenate layer"
        " joins beforehand. Make a functional model of one image, keras.Model(images, {...}), and pass that."
    )


def _check(call):
    """Refuse layers that an extractor cannot have."""
    layers = call.operation._flatten_layers() if isinstance(call.operation, keras.Layer) else []
    for layer in layers:
        what = f"Layer {call.path!r} ({type(layer).__name__})"
        if isinstance(layer, keras.layers.Lambda):
            raise ValueError(f"{what} holds code, which is never run from a file. Use a layer of Keras or of your own.")
        if getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(f"{what} has its channels first. Build the model with data_format='channels_last'.")


def _needed(graph, values, start=None):
    """The calls that `values` depend on, in order, back to the inputs or to the Value `start`."""
    wanted, calls = set(values) - {start}, []
    for call in reversed(graph.calls):
        if wanted.intersection(call.outputs):
            calls.append(call)
            wanted |= set(call.inputs.values()) - {start}
    return calls[::-1]


def _entries(graph, calls, values):
    """The model's inputs that the calls take, or that are tapped themselves."""
    taken = {value for call in calls for value in call.inputs.values()} | set(values)
    return [value for value in graph.inputs if value in taken]
