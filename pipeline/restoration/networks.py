"""The two restoration networks: what removes JPEG artefacts, and what enlarges four times.

Both take and give RGB in [-1, 1], NCHW, any height and width, and add what they learn to a plain estimate
(the input itself; its Lanczos enlargement), which is what they give before any training. Neither
holds normalisation over images or positions, so a pixel depends on nothing beyond `reach` pixels around it.

Shapes: N images, C channels, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Architecture = Literal["rednet", "srresnet"]


_DETAIL = 0.05
"""What a network adds is a twentieth of what its last layer gives. Corrections are that much smaller than the features
they are made from; without the factor Adam's first steps overshoot them, and the ReLUs die."""


class RestorationNetwork(nn.Module):
    """A network that gives an image of `scale` times the size of its input.

    Attributes
    ----------
    scale
        Output pixels per input pixel, along one side.
    reach
        Radius of the receptive field in input pixels: how far from its own place in the input an output pixel sees.
    """

    scale: int
    reach: int


class RedNet(RestorationNetwork):
    """Convolutional encoder, mirrored transposed-convolutional decoder, every second level skipping across.

    `blocks` convolutions and as many transposed ones (Mao et al. 2016 call 64 channels and 15 blocks RED30).
    The outermost skip is from the input to the output.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.scale = 1
        self.reach = 2 * blocks
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
        return degraded_NCHW + _DETAIL * self.decoder[-1](x)


class SRResNet(RestorationNetwork):
    """Residual blocks at the input's size, then two sub-pixel convolutions that double it (Ledig et al. 2016).

    Without batch normalisation, whose statistics would tie a pixel to the whole image (Lim et al. 2017 found the
    results better without), and with a 3x3 last layer: a 9x9 one took half of all time at 16 times the pixels.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.scale = 4
        # 9x9 (4), two 3x3 per block, 3x3 after them, 3x3 at one, two and four times the size (1 + 1 + 1, rounded up)
        self.reach = 8 + 2 * blocks
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
        return self.plain(small_NCHW) + _DETAIL * self.tail(self.enlarge(head + self.join(x)))


class LanczosEnlargement(nn.Module):
    """Fixed enlargement by the Lanczos kernel of three lobes; beyond the border the outermost pixels go on.

    Begins where the pipeline without a network ends. PyTorch's own best, bicubic, is 0.4 dB below it.
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
    """What must be known to lay out a network before its weights are read."""

    architecture: Architecture
    channels: int
    blocks: int

    def build(self) -> RestorationNetwork:
        """The network with weights that mean nothing yet: `initialise` them, or load some."""
        builders: dict[Architecture, Callable[[int, int], RestorationNetwork]] = {
            "rednet": RedNet,
            "srresnet": SRResNet,
        }
        return builders[self.architecture](self.channels, self.blocks)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights from `generator`, so that a restoration network starts as its plain estimate.

    He initialisation, and: the last layer zero; the branch of a residual block small, which keeps a deep stack
    near the identity; the four sub-pixels of a doubling alike (ICNR, Aitken et al. 2017), without which
    pixel shuffle starts, and often stays, a checkerboard.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            _he(module, generator)
    for module in network.modules():
        if isinstance(module, _ResidualBlock):
            with torch.no_grad():
                module.second.weight.mul_(0.1)
        elif isinstance(module, _Doubling):
            with torch.no_grad():
                module.spread.weight.copy_(module.spread.weight[::4].repeat_interleave(4, dim=0))
    if isinstance(network, RedNet):
        nn.init.zeros_(network.decoder[-1].get_parameter("weight"))
    elif isinstance(network, SRResNet):
        nn.init.zeros_(network.tail.weight)


def _he(layer: nn.Conv2d | nn.ConvTranspose2d, generator: torch.Generator) -> None:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
