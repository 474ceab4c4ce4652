"""The graph of a registration network: from two images to warped image and flow."""

import keras

from deepsim_tf._compat import vxm
from deepsim_tf.layers import CropLike, EdgePad, RescaleTransform, SpatialTransformer, VecInt, padded_size
from deepsim_tf.networks.unet import padding_multiple, paper_unet, voxelmorph_features


def registration_network(shape, channels, backbone, features, int_steps, batch_norm, dropout):
    """Functional graph {"moving", "fixed"} -> {"warped", "flow", "velocity"}, all on the un-padded grid."""
    ndim = len(shape)
    multiple = padding_multiple(features)
    moving, fixed = (keras.Input((*shape, channels), name=name) for name in ("moving", "fixed"))
    padded = [EdgePad(multiple, name=f"{name}_pad")(image) for name, image in (("moving", moving), ("fixed", fixed))]
    if backbone == "voxelmorph":
        vxm_dense = vxm.networks.VxmDense(
            tuple(padded_size(n, multiple) for n in shape),
            nb_unet_features=voxelmorph_features(features),
            int_steps=0,  # integration follows below, with layers that do not map over the batch
            input_model=keras.Model([moving, fixed], padded),
        )
        field = vxm_dense.references.pos_flow
    else:
        x = paper_unet(
            keras.layers.concatenate(padded, name="unet_input_concat"), features, batch_norm=batch_norm, dropout=dropout
        )
        field = getattr(keras.layers, f"Conv{ndim}D")(
            ndim, 3, padding="same", kernel_initializer=keras.initializers.RandomNormal(stddev=1e-5), name="flow_conv"
        )(x)
    velocity = flow = field
    if int_steps:  # at half resolution, as VoxelMorph integrates
        velocity = RescaleTransform(0.5, name="velocity_half")(field)
        flow = RescaleTransform(2, name="flow_full")(VecInt(int_steps=int_steps, name="flow_integrate")(velocity))
    # Losses are in float32, whatever the precision of the network.
    velocity = CropLike(shrink=2 if int_steps else 1, dtype="float32", name="velocity")([velocity, fixed])
    flow = CropLike(dtype="float32", name="flow")([flow, fixed])
    warped = SpatialTransformer(name="warped")([moving, flow])
    return keras.Model(
        {"moving": moving, "fixed": fixed}, {"warped": warped, "flow": flow, "velocity": velocity}, name="network"
    )
