"""The two restoration networks: JPEG artefact removal, and x4 super-resolution.

Input and output are RGB in [-1, 1], NCHW, of any height and width. A network adds its output to the input or to its
Lanczos enlargement, which is the result before any training. There is no normalisation over images or positions, so an
output pixel depends only on the input within `receptive_radius`.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Architecture = Literal["rednet", "srresnet"]

_RESIDUAL_SCALE = 0.05
"""Of the last layer's output. Residuals are that much smaller than features; without it Adam's first steps are too
large, and the ReLUs die."""


class RestorationNetwork(nn.Module):
    """Base class of both networks."""

    scale: int  # output pixels per input pixel, along one side
    receptive_radius: int  # of the receptive field, in input pixels
    multiple: int = 1  # tiles begin at multiples of it, so that strides fall alike in all of them


class RedNet(RestorationNetwork):
    """`blocks` convolutions, as many transposed convolutions, and a skip connection at every second level.

    RED30 of Mao et al. 2016 has 64 channels and 15 blocks. The outermost skip is from the input to the output.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.scale = 1
        self.receptive_radius = 2 * blocks
        widths = [3, *[channels] * blocks]
        self.encoder = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths)])
        self.decoder = nn.ModuleList([nn.ConvTranspose2d(b, a, 3, padding=1) for a, b in reversed([*pairwise(widths)])])

    def forward(self, degraded_NCHW: Tensor) -> Tensor:
        """Restore (N, 3, H, W) in [-1, 1]."""
        levels = [degraded_NCHW]
        for encode in self.encoder:
            levels.append(functional.relu(encode(levels[-1])))
        x = levels.pop()
        for decode in self.decoder[:-1]:
            level = levels.pop()
            skipping = level if len(levels) % 2 == 0 else 0.0
            x = functional.relu(decode(x) + skipping)
        return degraded_NCHW + _RESIDUAL_SCALE * self.decoder[-1](x)


class SRResNet(RestorationNetwork):
    """Residual blocks at the input's size, then two sub-pixel convolutions that double it (Ledig et al. 2016).

    Differences: no batch normalisation, whose statistics would depend on the whole image (results are better without,
    Lim et al. 2017), and a last layer of 3x3, since one of 9x9 takes half of the time.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.scale = 4
        # 9x9 (4), two 3x3 per block, 3x3 after them, 3x3 at one, two and four times the size (1 + 1 + 1, rounded up)
        self.receptive_radius = 8 + 2 * blocks
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        self.body = nn.ModuleList([_ResidualBlock(channels) for _ in range(blocks)])
        self.join = nn.Conv2d(channels, channels, 3, padding=1)
        self.enlarge = nn.Sequential(_Doubling(channels), _Doubling(channels))
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)
        self.plain = LanczosEnlargement(4)

    def forward(self, small_NCHW: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [-1, 1] to (N, 3, 4H, 4W)."""
        head = self.head(small_NCHW)
        x = head
        for block in self.body:
            x = block(x)
        return self.plain(small_NCHW) + _RESIDUAL_SCALE * self.tail(self.enlarge(head + self.join(x)))


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
        planes = functional.conv2d(functional.pad(planes, (3, 3, 3, 3), mode="replicate"), self.get_buffer("kernel"))
        planes = functional.pixel_shuffle(planes, self._scale)
        return planes.reshape(count, channels, height * self._scale, width * self._scale)


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = nn.PReLU()
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.activation(self.first(x)))


class _Doubling(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.activation = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(functional.pixel_shuffle(self.spread(x), 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """The architecture and size of a network."""

    architecture: Architecture
    channels: int
    blocks: int

    def build(self) -> RestorationNetwork:
        """The network, before its weights are initialised or loaded."""
        return (RedNet if self.architecture == "rednet" else SRResNet)(self.channels, self.blocks)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights from `generator`, such that a network at first outputs its input, or the Lanczos enlargement.

    He initialisation, but: the last layer is zero; the branches of residual blocks are small, which keeps deep stacks
    near the identity; the four sub-pixels of a doubling are equal (ICNR, Aitken et al. 2017), since pixel shuffle else
    starts with a checkerboard pattern.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, _ResidualBlock):
                module.second.weight.mul_(0.1)
            elif isinstance(module, _Doubling):
                module.spread.weight.copy_(module.spread.weight[::4].repeat_interleave(4, dim=0))
            elif isinstance(module, RedNet):
                module.decoder[-1].get_parameter("weight").zero_()
            elif isinstance(module, SRResNet):
                module.tail.weight.zero_()
