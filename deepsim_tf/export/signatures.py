"""What a served model can be asked: functions with named inputs and outputs, of any batch and image size."""

import tensorflow as tf

from deepsim_tf import checks
from deepsim_tf.grids.fit_graph import fit_images
from deepsim_tf.grids.flow_graph import flow_on_images
from deepsim_tf.intensity.rules_graph import apply_intensity
from deepsim_tf.layers import warp
from deepsim_tf.losses import DeepSim


def signatures(model):
    """The functions of a registration model, by the name under which a client asks for them.

    * `serving_default`: moving, fixed -> warped, flow;
    * `similarity`, where the model was trained with DeepSim: fixed, warped -> similarity, and one of each level;
    * `warp_labels`: labels, flow -> warped_labels.

    Args:
        model: a RegistrationModel.

    Returns:
        dict of tf.functions, to be traced `without_xla`.
    """
    ndim = len(model.shape)
    image, field = [None] * (ndim + 1) + [1], [None] * (ndim + 1) + [ndim]
    functions = {"serving_default": _function(_register(model), moving=(image, tf.float32), fixed=(image, tf.float32))}
    if isinstance(model.similarity, DeepSim):
        functions["similarity"] = _function(_similarity(model), fixed=(image, tf.float32), warped=(image, tf.float32))
    functions["warp_labels"] = _function(_warp_labels, labels=(image[:-1], tf.int32), flow=(field, tf.float32))
    return functions


def variables(model, names):
    """The variables that signatures of these names read: the network's, and the extractor's where it is asked for."""
    layers = [model.network, *([model.similarity.extractor] if "similarity" in names else [])]
    return [weight.value for layer in layers for weight in layer.weights]  # `.variables` would add the state of dropout


def _function(function, **inputs):
    specification = [tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in inputs.items()]
    return tf.function(function, input_signature=specification, autograph=False)


def _register(model):
    fit = model.image_fit or "resample"

    def register(moving, fixed):
        """Images as in the files, (batch, *spatial, 1) -> warped, flow: (batch, *spatial of fixed, 1 or ndim)."""
        size, fixed_size = tf.shape(moving), tf.shape(fixed)
        compared = size[:-1], fixed_size[:-1]
        if model.image_fit is not None:  # only then images may differ in size, as in ds.register
            compared = size[:1], fixed_size[:1]
        what = "as many moving as fixed images" + (", of one size" if model.image_fit is None else "")
        with tf.control_dependencies(
            [tf.debugging.assert_equal(*compared, f"{checks.MARKER}The served model expects {what}.")]
        ):
            pair = {name: _on_grid(model, name, image, fit) for name, image in (("moving", moving), ("fixed", fixed))}
        flow = model.network(pair, training=False)["flow"]
        flow = flow_on_images(flow, fixed_size[1:-1], size[1:-1], fit)
        return {"warped": warp(moving, flow), "flow": flow}

    return register


def _similarity(model):
    loss, fit = model.similarity, model.image_fit or "resample"

    def similarity(fixed, warped):
        """DeepSim of image pairs on the model's grid, each (batch,).

        `similarity`, the mean of the levels, and each level's.
        """
        pair = [_on_grid(model, name, image, fit) for name, image in (("fixed", fixed), ("warped", warped))]
        # An atlas needs no case of its own: the client sends it as the fixed image.
        levels = {level: 1 - value for level, value in loss.by_level(*pair).items()}
        return {"similarity": sum(levels.values()) / len(levels), **levels}

    return similarity


def _warp_labels(labels, flow):
    """Labels (batch, *spatial) at the nearest voxel, (batch, *spatial of flow)."""
    return {"warped_labels": warp(labels[..., None], flow, interpolation="nearest")[..., 0]}


def _on_grid(model, name, images, fit):
    """Raw images as the network was trained on them: checked, under the intensity rule, on the model's grid."""
    (images,) = checks.finite_in_graph("The served model", **{name: images})
    return fit_images(apply_intensity(images, model.intensity), model.shape, fit)
