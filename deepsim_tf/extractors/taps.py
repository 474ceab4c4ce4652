"""Which feature maps of a model become levels: its own pyramid, a known encoder, or the layers that a user names."""

import difflib
import re

from deepsim_tf.extractors.levels import is_pyramid

# The last activation of each encoder level, in both backbones and in VoxelMorph's own Unet and VxmDense.
ENCODER_ACTIVATION = re.compile(r"enc_conv_(\d+)_(\d+)_activation$")


def find_taps(model, graph, layers=None):
    """{name: Value} of the feature maps to take from a model.

    Args:
        model: the functional Keras model.
        graph: its FlatGraph.
        layers: names of layers, "outer/inner" for those inside of nested models; or None, to take the first that there
            is of: `model.pyramid_outputs`, as keras-hub's backbones have; a dict of maps of falling size as the
            model's output; the encoder of a U-Net of this package or of VoxelMorph; another dict or list as output.

    Raises:
        ValueError: unknown or ambiguous names, or nothing found.
    """
    if layers is not None:
        return _named(graph, layers)
    pyramid = getattr(model, "pyramid_outputs", None)
    if isinstance(pyramid, dict) and all(id(tensor) in graph.values for tensor in pyramid.values()):
        return {name: graph.values[id(tensor)] for name, tensor in pyramid.items()}
    encoder = _encoder(graph)
    # A U-Net's output may be a dict of heads, and a VxmDense's is the list (warped, flow), of falling size or not.
    if encoder and not (isinstance(model.output, dict) and is_pyramid(graph, graph.outputs)):
        return encoder
    if "" not in graph.outputs:
        return graph.outputs
    raise ValueError(
        f"Model {graph.name!r} is not of deepsim_tf or VoxelMorph, and its output is no pyramid: name the layers to tap"
        f" with layers=[...]. {_begin(graph)}"
    )


def _encoder(graph):
    """{path: Value} of the last activation at each level of either backbone, {} where there is none."""
    found = {}  # {path of the model around: {level: (conv, path)}}
    for path in graph.named:
        match = ENCODER_ACTIVATION.search(path)
        if match:
            level, conv = map(int, match.groups())
            levels = found.setdefault(path.rpartition("/")[0], {})
            levels[level] = max(levels.get(level, (-1, "")), (conv, path))
    if len(found) > 1:
        raise ValueError(
            f"Model {graph.name!r} has {len(found)} encoders, in {' and '.join(repr(name) for name in found)}. Name the"
            " layers to tap with layers=[...], or pass one of the models inside, model.get_layer(...)."
        )
    return {path: _output(graph, path) for levels in found.values() for _, (_, path) in sorted(levels.items())}


def _named(graph, names):
    """{path: Value} of the layers with these names."""
    paths = [_path(graph, name) for name in ([names] if isinstance(names, str) else names)]
    if not paths:
        raise ValueError(f"layers is empty. Name the layers to tap, or leave it out. {_begin(graph)}")
    return {path: _output(graph, path) for path in paths}


def _path(graph, name):
    """The full path of a layer that is named by its path, or by the end of it where that is unique."""
    if name in graph.named:
        return name
    paths = [path for path in graph.named if path.endswith(f"/{name}")]
    if len(paths) > 1:
        raise ValueError(f"Layer {name!r} is in several places of model {graph.name!r}. Name one: {', '.join(paths)}.")
    if not paths:
        plain = {path.rpartition("/")[2]: path for path in graph.named}
        close = difflib.get_close_matches(str(name), [*graph.named, *plain], n=5)
        similar = f" Similar: {', '.join(dict.fromkeys(plain.get(match, match) for match in close))}." if close else ""
        raise ValueError(f"Unknown layer {name!r} in model {graph.name!r}.{similar} {_begin(graph)}")
    return paths[0]


def _output(graph, path):
    """The one tensor that a layer gives."""
    calls = graph.named[path]
    if len(calls) > 1:
        inside, _, layer = path.rpartition("/")
        way = (
            f"pass the model inside, model.get_layer({inside.partition('/')[0]!r}), and name {layer!r} there"
            if inside
            else "pass keras.Model(images, {...}) with the tensors of the calls that you mean"
        )
        raise ValueError(f"Layer {path!r} is called {len(calls)} times in model {graph.name!r}: {way}.")
    if len(calls[0]) > 1:
        raise ValueError(f"Layer {path!r} gives {len(calls[0])} tensors, not one feature map. Name a layer after it.")
    return calls[0][0]


def _begin(graph):
    """Where a user can look for names."""
    names = list(graph.named)
    return f"Its layers: {', '.join(names[:12])}{f' and {len(names) - 12} more' if len(names) > 12 else ''}."
