"""Models that VoxelMorph wrote: the `.h5` files of `vxm.networks.VxmDense.save`."""

import os

import h5py
import keras
import numpy as np

from deepsim_tf import checks
from deepsim_tf._compat import vxm
from deepsim_tf.registration.prediction import Prediction
from deepsim_tf.registration.solver import Solver, finite_flow


class VoxelMorphModel(Solver):
    """A trained `VxmDense` as a Solver; it cannot be trained here.

    Such a file holds the network and no more: there is no loss in it to refine a flow with, nor a similarity map.
    Intensities are brought to [0, 1] by "minmax", as VoxelMorph's own scripts do.

    Args:
        network: a `vxm.networks.VxmDense` of one image channel.
    """

    channels, intensity = 1, "minmax"

    def __init__(self, network):
        self.network, self.shape = network, tuple(int(n) for n in network.inputs[0].shape[1:-1])
        # The flow at full resolution; the model's own outputs are the warped image and the field before it is
        # integrated.
        self._predictor = keras.Model(network.inputs, [network.outputs[0], network.references.pos_flow])

    def solve(self, pair):
        """See `Solver.solve`."""
        warped, flow = self._predictor.predict_on_batch([np.asarray(pair.moving), np.asarray(pair.fixed)])
        return Prediction(flow=finite_flow("The VoxelMorph model", flow), warped=warped)

    def graph(self):
        """See `Solver.graph`."""
        return lambda images: self._predictor([images["moving"], images["fixed"]], training=False)[1], [
            weight.value for weight in self.network.weights
        ]


def is_voxelmorph_file(path):
    """Whether a path ends as VoxelMorph's files do: `.h5`."""
    return os.fspath(path).lower().endswith((".h5", ".hdf5"))


def load_voxelmorph(path):
    """The VoxelMorphModel in a file of `VxmDense.save`, of VoxelMorph on Keras 2 or 3.

    Raises:
        ValueError: no such file, one that is damaged, of another model than VxmDense, or of a network with other inputs
            than two images of one channel, or with weights that are not finite.
    """
    path = os.fspath(path)
    checks.existing_file(path, "model")
    expected = "Expected the .h5 file that vxm.networks.VxmDense.save writes"
    try:
        with h5py.File(path) as file:
            if "model_config" not in file.attrs:
                raise ValueError(
                    "it holds weights without the network's arguments: save it with model.save, not save_weights"
                )
        config = vxm.networks.VxmDense.load_config(path)
        if "inshape" not in config:
            raise ValueError("it is a Keras model of another kind")
        channels = config.get("src_feats", 1), config.get("trg_feats", 1)
        if (
            channels != (1, 1)
            or len(config["inshape"]) not in (2, 3)
            or config.get("hyp_model")
            or config.get("input_model")
        ):
            raise ValueError(
                f"its network takes images of shape {config['inshape']} with {channels} channels, or more than two"
                " images"
            )
        network = vxm.networks.VxmDense.load(path)
    except Exception as error:  # h5py and Keras meet damaged files with OSError, KeyError, RuntimeError, TypeError, ...
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"{path} cannot be read as a VoxelMorph model ({reason}). {expected}, 2-D or 3-D, one channel."
        ) from None
    bad = [weight.path for weight in network.weights if not np.isfinite(np.asarray(weight)).all()]
    if bad:  # VoxelMorph's own layers would look up voxels at NaN
        raise ValueError(
            f"{path} holds weights that are NaN or infinite ({bad[0]}). Its training diverged: take an earlier file."
        )
    return VoxelMorphModel(network)
