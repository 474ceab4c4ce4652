"""The graph of a functional model with its nested models written out: a list of calls of layers, in order."""

import dataclasses
from typing import Any

import keras
from keras import tree
from keras.src.models import Functional  # keras.Model(images, maps) is one, and Keras gives the class no public name


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the flat graph: told apart by identity, because a model that is called twice has two of each."""

    tensor: Any  # the keras.KerasTensor of the model that it stands for

    @property
    def shape(self):
        """Shape in that model, (batch, *spatial, channels) for maps."""
        return tuple(self.tensor.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer or of a keras operation.

    Attributes:
        path: its name behind those of the models around it, as in "backbone/conv1".
        operation: the layer.
        node: Keras's record of the call, with all its arguments.
        inputs: {id of a KerasTensor among the arguments: Value}.
        outputs: list of Value.
    """

    path: str
    operation: Any
    node: Any
    inputs: dict
    outputs: list

    def arguments(self, tensors):
        """(args, kwargs) of the call, with the tensors of a dict {Value: tensor}, in inference mode."""
        args, kwargs = self.node.arguments.convert(
            lambda x: tensors[self.inputs[id(x)]] if isinstance(x, keras.KerasTensor) else x
        )
        # A layer may have been called with training=True for good, as dropout is for its uncertainty.
        return args, {name: value for name, value in kwargs.items() if name != "training"}


@dataclasses.dataclass(frozen=True)
class FlatGraph:
    """A functional model without nesting.

    Attributes:
        name: of the model.
        inputs: list of Value.
        calls: list of Call, each after those whose outputs it takes.
        named: {path: [outputs of each call]} of every layer, operation and nested model; shared ones have several.
        outputs: {name: Value} of the model's output, named by key or index; {"": Value} where it is a single tensor.
        values: {id of a KerasTensor of the outermost model: Value}.
    """

    name: str
    inputs: list
    calls: list
    named: dict
    outputs: dict
    values: dict


def flat_graph(model):
    """The FlatGraph of a functional or Sequential model, or None for a model of another kind."""
    graph = as_functional(model)
    if graph is None:
        return None
    values = {id(tensor): Value(tensor) for tensor in graph.inputs}
    inputs, calls, named = list(values.values()), [], {}
    outputs = _write_out(graph, values, "", calls, named)
    names = ["/".join(map(str, path)) for path, _ in tree.flatten_with_path(graph.output)]
    return FlatGraph(model.name, inputs, calls, named, dict(zip(names, outputs, strict=True)), values)


def as_functional(layer):
    """The functional model that a layer is, or None: a Sequential has one inside, and a `call` of its own hides it."""
    if isinstance(layer, keras.Sequential):
        return getattr(layer, "_functional", None)
    return layer if isinstance(layer, Functional) and type(layer).call is Functional.call else None


def _write_out(graph, values, prefix, calls, named):
    """Append the calls of a model whose inputs are among `values`; its outputs, a list of Value."""
    for node in _in_order(graph):
        operation, path = node.operation, prefix + node.operation.name
        if any(id(tensor) not in values for tensor in node.input_tensors):
            continue  # of a part that the model's inputs do not reach
        arguments = {id(tensor): values[id(tensor)] for tensor in node.input_tensors}
        nested = as_functional(operation)
        inner = _inner_values(nested, node, values) if nested is not None else None
        if inner is None:
            outputs = [Value(tensor) for tensor in node.outputs]
            calls.append(Call(path, operation, node, arguments, outputs))
        else:
            outputs = _write_out(nested, inner, f"{path}/", calls, named)
        named.setdefault(path, []).append(outputs)
        values.update(zip(map(id, node.outputs), outputs, strict=True))
    return [values[id(tensor)] for tensor in graph.outputs]


def _in_order(graph):
    """The calls of a model without its inputs, in the order in which Keras makes them."""
    by_depth = graph._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def _inner_values(nested, node, values):
    """{id of a nested model's input: Value} for a call of it, or None where they do not meet one to one."""
    given = node.input_tensors
    first = node.arguments.args[0] if node.arguments.args else None
    if isinstance(first, dict) and not isinstance(nested.input, dict):
        given = [first[tensor.name] for tensor in nested.inputs if tensor.name in first]
    elif isinstance(first, dict):
        given = tree.flatten(first)
    if len(given) != len(nested.inputs):
        return None
    if any(len(a.shape) != len(b.shape) for a, b in zip(given, nested.inputs, strict=True)):
        return None  # Keras adds or drops an axis of size 1 in the call
    return {id(inner): values[id(outer)] for inner, outer in zip(nested.inputs, given, strict=True)}
