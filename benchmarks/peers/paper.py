"""The authors' network and the losses, written plainly in PyTorch from the formulas.

What a PyTorch user would train instead.

Channels come second here. No code of another repository.
"""

import torch
import torch.nn.functional as F
from torch import nn


def convolution(ndim, channels_in, channels_out, kernel=3, stride=1):
    """A convolution as large as its input, or half as large with kernel 4 and stride 2.

    PyTorch's initialisation is the paper's.
    """
    return getattr(nn, f"Conv{ndim}d")(channels_in, channels_out, kernel, stride=stride, padding=1)


class Encoder(nn.Module):
    """Three stages of [batch norm - Conv 4, stride 2 - LeakyReLU - Conv 3 - LeakyReLU] - channel dropout.

    Gives all levels.
    """

    def __init__(self, ndim, channels_in, features):
        super().__init__()
        self.stages = nn.ModuleList()
        for width in features:
            parts = [
                getattr(nn, f"BatchNorm{ndim}d")(channels_in, eps=1e-5, momentum=0.1),
                convolution(ndim, channels_in, width, 4, 2),
            ]
            parts += [
                nn.LeakyReLU(0.2),
                convolution(ndim, width, width),
                nn.LeakyReLU(0.2),
                getattr(nn, f"Dropout{ndim}d")(0.5),
            ]
            self.stages.append(nn.Sequential(*parts))
            channels_in = width

    def forward(self, x):
        """(batch, channels, *spatial) -> list of the levels, finest first."""
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels


class PaperNetwork(nn.Module):
    """(moving, fixed) -> (warped, flow, field to regularise), on the paper's U-Net, flow at full resolution."""

    def __init__(self, ndim, features):
        super().__init__()
        self.mode = {2: "bilinear", 3: "trilinear"}[ndim]
        self.encoder = Encoder(ndim, 2, features)
        self.decoder, width = nn.ModuleList(), features[-1]
        skips = [2, *features[:-1]]
        for skip, out in zip(reversed(skips), reversed(features)):
            parts = [convolution(ndim, width, out), nn.LeakyReLU(0.2), convolution(ndim, out, out), nn.LeakyReLU(0.2)]
            self.decoder.append(nn.Sequential(*parts, getattr(nn, f"Dropout{ndim}d")(0.5)))
            width = out + skip
        head = [convolution(ndim, width, width), nn.LeakyReLU(0.2), convolution(ndim, width, width), nn.LeakyReLU(0.2)]
        self.head = nn.Sequential(*head, convolution(ndim, width, ndim))

    def forward(self, moving, fixed):
        """Images (batch, 1, *spatial)."""
        images = torch.cat([moving, fixed], 1)
        levels = [images, *self.encoder(images)]
        x = levels.pop()
        for stage in self.decoder:
            x = F.interpolate(stage(x), scale_factor=2, mode=self.mode, align_corners=False)
            x = torch.cat([x, levels.pop()], 1)
        flow = self.head(x)
        return warp(moving, flow), flow, flow


def warp(images, flow):
    """`images` at p + flow(p), linear, the border continued: (batch, 1, *spatial), (batch, ndim, *spatial)."""
    shape = flow.shape[2:]
    axes = [torch.arange(n, dtype=flow.dtype) for n in shape]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij")) + flow
    scaled = [
        2 * points[:, d] / (n - 1) - 1 for d, n in enumerate(shape)
    ]  # -1 and 1 are the centres of the first and the last voxel
    return F.grid_sample(
        images, torch.stack(scaled[::-1], -1), mode="bilinear", padding_mode="border", align_corners=True
    )


def diffusion(field):
    """Mean squared forward difference, summed over the axes, over their number."""
    ndim = field.dim() - 2
    return sum(field.diff(dim=axis).square().mean() for axis in range(2, ndim + 2)) / ndim


def local_ncc(fixed, warped, window=9, eps=1e-5):
    """1 - mean of cov^2 / (var var), each variance at least eps; zero beyond the border, which counts in the means."""
    mean = {4: F.avg_pool2d, 5: F.avg_pool3d}[fixed.dim()]
    products = torch.cat([fixed, warped, fixed * fixed, warped * warped, fixed * warped], 1)
    a, b, aa, bb, ab = mean(products, window, stride=1, padding=window // 2).split(1, 1)
    covariance = ab - a * b
    return 1 - (covariance.square() / ((aa - a * a).clamp(min=eps) * (bb - b * b).clamp(min=eps))).mean()


class DeepSim(nn.Module):
    """1 - mean over levels and voxels of the cosine of the features of a frozen encoder.

    Squared norms are at least 1e-6.
    """

    def __init__(self, ndim, features):
        super().__init__()
        self.encoder = Encoder(ndim, 1, features).eval().requires_grad_(False)

    def train(self, mode=True):
        """Stay in inference mode."""
        return self

    def forward(self, fixed, warped):
        """Images (batch, 1, *spatial)."""
        with torch.no_grad():
            reference = self.encoder(fixed)
        cosines = []
        for a, b in zip(reference, self.encoder(warped)):
            norms = [f.square().sum(1).clamp(min=1e-6).sqrt() for f in (a, b)]
            cosines.append(((a * b).sum(1) / (norms[0] * norms[1])).mean())
        return 1 - sum(cosines) / len(cosines)
