"""What `table.py` measures of this package, and of VoxelMorph 0.2's layers.

`turns.py` starts it, one process for each measurement.
"""

import deepsim_tf as ds  # isort: skip  (before TensorFlow: it switches oneDNN on)
import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage
from serve import serve

from deepsim_tf._compat import vxm

WEIGHT = 0.1  # of the regulariser
VERSIONS = f"TensorFlow {tf.__version__}, Keras {keras.__version__}"


def pair(shape):
    """Two random images, {"moving", "fixed"}: the same for both sides."""
    images = np.random.default_rng(0).random((2, 1, *shape, 1), dtype="float32")
    return {"moving": images[0], "fixed": images[1]}


def similarity(case, images):
    """(the loss that a case names, the layers with weights of its extractor)."""
    if not case["loss"].startswith("DeepSim"):
        return {"MSE": "mse", "NCC": ds.losses.LocalNCC()}[case["loss"]], []
    segmentation = ds.models.segmentation_model(case["shape"], 3, backbone=case["backbone"], features=case["features"])
    extractor = ds.models.FeatureExtractor.from_model(segmentation)
    fixed = images["fixed"][0] if case["loss"] == "DeepSim, atlas" else None
    return ds.losses.DeepSim(extractor, fixed=fixed), extractor.encoder.layers


def network(case):
    """A registration model of the case."""
    return ds.models.registration_model(
        case["shape"], backbone=case["backbone"], features=case["features"], int_steps=case["int_steps"]
    )


def facts(model, images, case, layers=()):
    """Versions, number of trainable parameters, and for the peer.

    The weights in a file, and what they give for these images.
    """
    found = {
        "versions": VERSIONS,
        "parameters": sum(int(np.prod(w.shape)) for w in model.trainable_weights),
        "check": None,
    }
    if "weights" in case:
        np.savez(case["weights"], *[w for layer in (*model.network.layers, *layers) for w in layer.get_weights()])
        loss = float(model.test_on_batch(images, return_dict=True)["loss"]) if model.compiled else None
        found["check"] = {"loss": loss, "flow": float(np.abs(model.predict_on_batch(images)["flow"]).mean())}
    return found


def step(case):
    """One training step: forward, backward and Adam's update, with the regulariser."""
    images = pair(case["shape"])
    loss, layers = similarity(case, images)
    model = network(case)
    model.compile(keras.optimizers.Adam(1e-4, epsilon=1e-8), loss, regularizer=ds.losses.Diffusion(), weight=WEIGHT)
    found = facts(model, images, case, layers)
    return found, lambda: float(model.train_on_batch(images, return_dict=True)["loss"])


def predict(case):
    """One registration, from two arrays to two arrays."""
    images = pair(case["shape"])
    model = network(case)
    return facts(model, images, case), lambda: model.predict_on_batch(images)


def layer(case):
    """The warp of images or the integration of a velocity, of this package or of VoxelMorph 0.2."""
    rng, ndim = np.random.default_rng(0), len(case["shape"])
    size = (case["batch"], *case["shape"])
    coarse = rng.uniform(-3, 3, (case["batch"], *(max(2, n // 8) for n in case["shape"]), ndim))
    field = ndimage.zoom(coarse, [n / c for n, c in zip((*size, ndim), coarse.shape)], order=1)
    inputs = [tf.constant(field, tf.float32)]
    module = vxm.layers if case["of"] == "VoxelMorph 0.2" else ds.layers
    if case["task"] == "warp":
        inputs = [tf.constant(rng.random((*size, 1), dtype="float32")), *inputs]
        apply = module.SpatialTransformer(interp_method="linear", indexing="ij")
    else:
        apply = module.VecInt(int_steps=7)

    @tf.function(autograph=False)
    def call(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = apply(inputs if len(inputs) > 1 else inputs[0])
            total = tf.reduce_sum(tf.square(output))
        return tape.gradient(total, inputs) if case["gradient"] else output

    if not case["gradient"]:
        np.save(case["output"], call(inputs).numpy())
    return {"versions": VERSIONS}, lambda: [t.numpy() for t in tf.nest.flatten(call(inputs))]


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    serve(lambda case: {"step": step, "predict": predict, "warp": layer, "integrate": layer}[case["task"]](case))
