"""A copy of a part of a model, for images of any size, with weights of its own."""

import copy

import keras


def copy_part(part, levels):
    """A functional model, images of any size -> {level: map}, with copies of the layers of a Part and their weights.

    Nested models come out flat; a layer that is called twice is copied once.

    Args:
        part: a Part.
        levels: {name of a level: name of a tap}.

    Raises:
        ValueError: a layer that cannot be made anew from its config.
    """
    images = keras.Input((*[None] * (len(part.start.shape) - 2), part.start.shape[-1]), name="images")
    copies, taken = {}, {"images"}

    def copy_of(call):
        key = id(call.operation)
        if key not in copies:
            name = _free_name(call, taken)
            taken.add(name)
            copies[key] = (call.operation, _copy(call, name))
        return copies[key][1]

    maps = part.run(images, copy_of)
    for original, twin in copies.values():
        _copy_weights(original, twin)
    return keras.Model(images, {level: maps[tap] for level, tap in levels.items()})


def _free_name(call, taken):
    """The layer's own name, or its path where another model inside has the same."""
    names = [call.operation.name, call.path.replace("/", "_")]
    names += [f"{names[1]}_{number}" for number in range(1, len(taken) + 1)]
    return next(name for name in names if name not in taken)


def _copy(call, name):
    original = call.operation
    what = f"Layer {call.path!r} ({type(original).__name__})"
    if not isinstance(original, keras.Layer):  # an operation as `x + y`, without a state
        twin = copy.copy(original)
        twin.name, twin._inbound_nodes, twin._outbound_nodes = name, [], []
        return twin
    try:
        return type(original).from_config({**original.get_config(), "name": name})
    except Exception as error:  # get_config and from_config are the user's code
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise ValueError(f"{what} cannot be made anew from its get_config ({reason}).") from None


def _copy_weights(original, twin):
    if not isinstance(original, keras.Layer):
        return
    # As Keras saves and loads them, not get_weights: Normalization renews its constants when it is loaded.
    for source, target in zip(original._flatten_layers(), twin._flatten_layers(), strict=True):
        store = {}
        source.save_own_variables(store)
        target.load_own_variables({name: keras.ops.convert_to_numpy(value) for name, value in store.items()})
