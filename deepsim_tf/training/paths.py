"""The paths of a model's variables, by which a checkpoint finds them: the same in every process, and unique.

Keras's own paths are neither: it numbers names that nobody gave (`conv2d_3`) through the whole process, leaves out to
which layer a random generator belongs, and joins the path of a weight into the name of its moments.
"""

import collections
import re

NUMBERED = re.compile(r"(.+?)(?:_(\d+))?")


def state_variables(model):
    """All that a training step reads and changes, but for the sums of the metrics.

    Args:
        model: a compiled and built keras.Model.

    Returns:
        dict from path to variable: the weights, `dropout/seed_generator/seed_generator_state`, an update that is half
        accumulated as `accumulation/...`, and the optimizer's variables, `adam/conv2d/kernel/momentum`.
    """
    layers, optimizer = model._flatten_layers(), model.optimizer
    optimizers = [optimizer, getattr(optimizer, "inner_optimizer", optimizer)]
    owners = {id(seeds.state): layer for layer in layers for seeds in layer._seed_generators}
    metrics = {id(variable) for variable in model.metrics_variables}
    found = {}  # path and variable by the variable's identity
    for variable in model.variables:
        owner = owners.get(id(variable))
        found[id(variable)] = f"{owner.path or owner.name}/{variable.path}" if owner else variable.path, variable
    for path, variable in getattr(model, "update_state", {}).items():  # no part of Keras's tracking
        found[id(variable)] = f"accumulation/{path}", variable
    weights = {weight.path.replace("/", "_"): weight.path for weight in model.trainable_variables}
    for variable in optimizer.variables:
        found[id(variable)] = _of_weight(variable.path, weights), variable
    pairs = [pair for key, pair in found.items() if key not in metrics]
    return _by_path(pairs, [*layers, *optimizers])


def metric_variables(model):
    """The sums of the metrics: dict from path to variable, such as `loss/total`."""
    metrics = [part for metric in model.metrics for part in getattr(metric, "metrics", [metric])]
    return _by_path([(variable.path, variable) for variable in model.metrics_variables], metrics)


def _of_weight(path, weights):
    """`adam/conv2d_kernel_momentum` -> `adam/conv2d/kernel/momentum`.

    Args:
        path: of an optimizer's variable.
        weights: the paths of the weights, by what Keras makes of them in the names of their moments.
    """
    *scope, name = path.split("/")
    joined = max((joined for joined in weights if name.startswith(f"{joined}_")), key=len, default=None)
    return path if joined is None else "/".join([*scope, weights[joined], name[len(joined) + 1 :]])


def _by_path(pairs, owners):
    """Variables by their paths, in which names that Keras gave are numbered anew within what they are part of.

    A path that several variables share gets their order.

    Args:
        pairs: list of (path, variable).
        owners: layers and whatever else may have a name that Keras made of the class.
    """
    automatic = {_snake_case(type(owner).__name__) for owner in owners} | {"seed_generator", "variable"}
    numbers = collections.defaultdict(set)  # by what the name is part of, and the name without its number
    for path, _ in pairs:
        parts = path.split("/")
        for i, part in enumerate(parts):
            name, number = NUMBERED.fullmatch(part).groups()
            numbers[*parts[:i], name].add(int(number or 0))

    def renamed(parts, i):
        name, number = NUMBERED.fullmatch(parts[i]).groups()
        rank = sorted(numbers[*parts[:i], name]).index(int(number or 0))
        return parts[i] if name not in automatic else f"{name}_{rank}" if rank else name

    found, counts = {}, collections.Counter()
    for path, variable in pairs:
        parts = path.split("/")
        stable = "/".join(renamed(parts, i) for i in range(len(parts)))
        counts[stable] += 1
        found[stable if counts[stable] == 1 else f"{stable}:{counts[stable]}"] = variable
    return found


def _snake_case(name):
    """As Keras makes a name of a class: `Conv2DTranspose` -> `conv2d_transpose`."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name.replace("_", ""))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
