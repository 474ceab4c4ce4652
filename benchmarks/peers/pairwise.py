"""VoxelMorph PyTorch 0.3.4's network, twice.

Brought to the layers of VoxelMorph 0.2's VxmDense, and as it is shipped.
"""

import neurite as ne
import voxelmorph as vxm
from torch import nn


class EqualNetwork(nn.Module):
    """(moving, fixed) -> (warped, flow, velocity), of VoxelMorph's modules, layers and integration as in `VxmDense`.

    `VxmPairwise` ends in Conv 1 and a Conv 3 of as many channels as axes; VxmDense has one more Conv 3 of the first
    width, and a Conv 3 to the flow. Those two are exchanged here. Like VxmDense, and unlike `VxmPairwise.forward`, it
    integrates at half the resolution.
    """

    def __init__(self, ndim, features, int_steps):
        super().__init__()
        widths = [list(features), list(reversed(features))]
        self.network = vxm.nn.models.VxmPairwise(
            ndim,
            1,
            1,
            nb_features=widths,
            activations=nn.LeakyReLU(0.2),
            integration_steps=int_steps,
            unet_kwargs={"upsample_mode": "nearest"},
        )
        width = features[0]
        self.network.model.out_layer = ne.nn.modules.ConvBlock(
            ndim, width, width, activation=nn.LeakyReLU(0.2), order="ca"
        )
        del self.network.flow_layer  # and register it anew, so that modules are listed in the order in which they run
        self.network.flow_layer = ne.nn.modules.ConvBlock(ndim, width, ndim)
        self.shrink, self.enlarge = (vxm.nn.modules.ResizeDisplacementField(factor) for factor in (0.5, 2))

    def forward(self, moving, fixed):
        """Images (batch, 1, *spatial)."""
        velocity = self.shrink(self.network(moving, fixed, return_field_type="velocity"))
        flow = self.enlarge(self.network.velocity_field_integrator(velocity))
        return self.network.spatial_transformer(moving, flow), flow, velocity


class ShippedNetwork(nn.Module):
    """The same, on an unchanged `VxmPairwise` with these widths, which integrates at full resolution."""

    def __init__(self, ndim, features, int_steps):
        super().__init__()
        widths = [list(features), list(reversed(features))]
        self.network = vxm.nn.models.VxmPairwise(ndim, 1, 1, nb_features=widths, integration_steps=int_steps)

    def forward(self, moving, fixed):
        """Images (batch, 1, *spatial)."""
        flow, warped = self.network(moving, fixed, return_warped_source=True)
        return warped, flow, self.network.velocity
