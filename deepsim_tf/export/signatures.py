"""What a served model can be asked: functions with named inputs and outputs, of any batch and image size."""

import tensorflow as tf

from deepsim_tf import checks
from deepsim_tf.grids.fit_graph import fit_images
from deepsim_tf.grids.flow_graph import flow_on_images
from deepsim_tf.intensity.rules_graph import apply_intensity
from deepsim_tf.layers import warp


def signatures(solver):
    """The functions of a solver, by the name under which a client asks for them.

    * `serving_default`: moving, fixed -> warped, flow;
    * `similarity`, where a DeepSim is in its objective: fixed, warped -> similarity, and one of each level;
    * `warp_labels`: labels, flow -> warped_labels.

    Args:
        solver: a Solver that can be a graph, with a shape of its own.

    Returns:
        `(functions, variables)`: dict of tf.functions, to be traced `without_xla`, and the variables that they read.
    """
    flow, variables = solver.graph()
    ndim, objective = len(solver.shape), solver.objective()
    places = [None] * (ndim + 1)  # any batch, and any size
    image, field = [*places, solver.channels], [*places, ndim]
    pair = {name: (image, tf.float32) for name in ("moving", "fixed", "warped")}
    functions = {"serving_default": _function(_register(solver, flow), moving=pair["moving"], fixed=pair["fixed"])}
    if objective is not None and objective.semantic is not None:
        similarity = _similarity(solver, objective.semantic)
        functions["similarity"] = _function(similarity, fixed=pair["fixed"], warped=pair["warped"])
        variables = [*variables, *(weight.value for weight in objective.semantic.extractor.weights)]
    functions["warp_labels"] = _function(_warp_labels, labels=(places, tf.int32), flow=(field, tf.float32))
    return functions, variables


def _function(function, **inputs):
    specification = [tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in inputs.items()]
    return tf.function(function, input_signature=specification, autograph=False)


def _register(solver, predict):
    def register(moving, fixed):
        """Images as in the files, (batch, *spatial, channels) -> warped and flow, on the grid of fixed."""
        size, fixed_size = tf.shape(moving), tf.shape(fixed)
        compared, what = (size[:1], fixed_size[:1]), "as many moving as fixed images"
        if solver.image_fit is None:  # only with a fit images may differ in size, as in ds.register
            compared, what = (size[:-1], fixed_size[:-1]), f"{what}, of one size"
        with tf.control_dependencies(
            [tf.debugging.assert_equal(*compared, f"{checks.MARKER}The served model expects {what}.")]
        ):
            pair = {name: _on_grid(solver, name, image) for name, image in (("moving", moving), ("fixed", fixed))}
        flow = predict(pair)
        flow = flow_on_images(flow, fixed_size[1:-1], size[1:-1], solver.grid_fit)
        return {"warped": warp(moving, flow), "flow": flow}

    return register


def _similarity(solver, loss):
    def similarity(fixed, warped):
        """DeepSim of image pairs on the model's grid, each (batch,).

        `similarity`, the mean of the levels, and each level's.
        """
        pair = [_on_grid(solver, name, image) for name, image in (("fixed", fixed), ("warped", warped))]
        # An atlas needs no case of its own: the client sends it as the fixed image.
        levels = {level: 1 - value for level, value in loss.by_level(*pair).items()}
        return {"similarity": sum(levels.values()) / len(levels), **levels}

    return similarity


def _warp_labels(labels, flow):
    """Labels (batch, *spatial) at the nearest voxel, (batch, *spatial of flow)."""
    return {"warped_labels": warp(labels[..., None], flow, interpolation="nearest")[..., 0]}


def _on_grid(solver, name, images):
    """Raw images as the network was trained on them: checked, under the intensity rule, on the model's grid."""
    (images,) = checks.finite_in_graph("The served model", **{name: images})
    return fit_images(apply_intensity(images, solver.intensity), solver.shape, solver.grid_fit)
