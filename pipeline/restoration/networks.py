"""The two restoration networks: JPEG artefact removal, and x4 super-resolution.

Input and output are RGB in [-1, 1], NCHW, of any height and width. A network adds its output to the input or to its
Lanczos enlargement, which is the result before any training. There is no normalisation over images or positions, so an
output pixel depends only on the input within `receptive_radius`.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Architecture = Literal["arresnet", "srresnet"]

_RESIDUAL_SCALE = 0.2
"""Of the last layer's output. Residuals are smaller than features; without it Adam's first steps are too large."""


class RestorationNetwork(nn.Module):
    """Base class of both networks.

    Attributes
    ----------
    scale
        Output pixels per input pixel, along one side.
    multiple
        An output pixel depends on where it lies in cells of `multiple` x `multiple` input pixels, the first of which
        begins at the corner. So tiles must begin at multiples of it.
    receptive_radius
        Of the receptive field, in input pixels.
    """

    scale: int
    multiple: int = 1
    receptive_radius: int


class ARResNet(RestorationNetwork):
    """Artefact reduction: the residual blocks of SRResNet at half the size, on 2 x 2 pixels as channels.

    Half the size is that of FFDNet (Zhang et al. 2018): it takes a quarter of the time, and shows each block of JPEG
    with more of its neighbours.
    """

    scale = 1
    multiple = 2

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        pixels = 3 * self.multiple**2
        # in cells of 2 x 2 pixels 1 at the head, 2 per block, 1 after them and 1 at the end; a pixel is half a cell
        self.receptive_radius = self.multiple * (3 + 2 * blocks) + 1
        self.body = _ResidualBody(pixels, channels, blocks, pixels)

    def forward(self, degraded_NCHW: Tensor) -> Tensor:
        """Restore (N, 3, H, W) in [-1, 1]; the last row or column of an odd size is repeated."""
        height, width = degraded_NCHW.shape[-2:]
        padding = (0, width % self.multiple, 0, height % self.multiple)
        whole_NCHW = functional.pad(degraded_NCHW, padding, mode="replicate") if any(padding) else degraded_NCHW
        residual_NCHW = self.body(functional.pixel_unshuffle(whole_NCHW, self.multiple))
        return degraded_NCHW + functional.pixel_shuffle(residual_NCHW, self.multiple)[..., :height, :width]


class SRResNet(RestorationNetwork):
    """Residual blocks at the input's size, then a sub-pixel convolution (Ledig et al. 2016, Shi et al. 2016).

    Differences: no batch normalisation, whose statistics would depend on the whole image (results are better without,
    Lim et al. 2017); a first layer of 3x3; and one enlargement to four times the size, which takes a fraction of the
    time of two doublings, so that the blocks see more examples.
    """

    scale = 4

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.receptive_radius = 3 + 2 * blocks
        self.body = _ResidualBody(3, channels, blocks, 3 * self.scale**2)
        self.plain = LanczosEnlargement(self.scale)

    def forward(self, small_NCHW: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [-1, 1] to (N, 3, 4H, 4W)."""
        return self.plain(small_NCHW) + functional.pixel_shuffle(self.body(small_NCHW), self.scale)


class LanczosEnlargement(nn.Module):
    """Fixed enlargement by the Lanczos kernel with three lobes; border pixels are repeated.

    This is the result of the pipeline without a network; PyTorch's bicubic is 0.4 dB worse.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self._scale = scale
        places = torch.arange(-3, 4, dtype=torch.float64)
        phases = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
        distance = places[None, :] - phases[:, None]
        taps = torch.sinc(distance) * torch.sinc(distance / 3) * (distance.abs() < 3)
        taps = taps / taps.sum(dim=1, keepdim=True)
        kernel = torch.einsum("ay,bx->abyx", taps, taps).reshape(scale * scale, 1, 7, 7)
        self.register_buffer("kernel", kernel.float(), persistent=False)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, scale x H, scale x W)."""
        count, channels, height, width = images_NCHW.shape
        planes = images_NCHW.reshape(count * channels, 1, height, width)
        planes = functional.pad(planes, (3, 3, 3, 3), mode="replicate")
        with torch.autocast(planes.device.type, enabled=False):  # bfloat16 has a hundredth of its precision
            planes = functional.conv2d(planes, self.get_buffer("kernel"))
        planes = functional.pixel_shuffle(planes, self._scale)
        return planes.reshape(count, channels, height * self._scale, width * self._scale)


class _ResidualBody(nn.Module):
    """A convolution, residual blocks with a skip connection around all, and a convolution to a residual image."""

    def __init__(self, inputs: int, channels: int, blocks: int, outputs: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(inputs, channels, 3, padding=1)
        self.blocks = nn.ModuleList([_ResidualBlock(channels) for _ in range(blocks)])
        self.join = nn.Conv2d(channels, channels, 3, padding=1)
        self.tail = nn.Conv2d(channels, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = head = self.head(x)
        for block in self.blocks:
            x = block(x)
        return _RESIDUAL_SCALE * self.tail(head + self.join(x))


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(x)))


_CLASSES: dict[Architecture, type[ARResNet] | type[SRResNet]] = {"arresnet": ARResNet, "srresnet": SRResNet}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """The architecture and size of a network."""

    architecture: Architecture
    channels: int
    blocks: int

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along one side."""
        return _CLASSES[self.architecture].scale

    def build(self) -> RestorationNetwork:
        """The network, before its weights are initialised or loaded."""
        return _CLASSES[self.architecture](self.channels, self.blocks)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights from `generator`, such that a network at first outputs its input, or the Lanczos enlargement.

    He initialisation, but: the last layer is zero, and the branches of residual blocks are small, which keeps deep
    stacks near the identity.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, _ResidualBlock):
                module.second.weight.mul_(0.1)
            elif isinstance(module, _ResidualBody):
                module.tail.weight.zero_()
