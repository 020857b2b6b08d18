"""Packed images: the pixels of each 2x2 block as maps.

Matrix units compute at least 32 maps at once, so large images of few maps are convolved as images of half the size and
four times the maps (`training.ops.conv2d`). Between such layers they stay packed.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Packed(NamedTuple):
    """Images (N, C, 2H, 2W) as `maps` (N, 4C, H, W): all maps of one pixel of a block, then those of the next."""

    maps: Tensor

    def planes(self) -> Tensor:
        """A view by pixels of a block: (N, 4, C, H, W)."""
        return self.maps.unflatten(1, (4, -1))


Images = Tensor | Packed


def pack(x: Images) -> Packed:
    """Pack images of even height and width, channels-last in memory."""
    if isinstance(x, Packed):
        return x
    samples, maps, height, width = x.shape
    blocks = x.permute(0, 2, 3, 1).reshape(samples, height // 2, 2, width // 2, 2, maps).permute(0, 1, 3, 2, 4, 5)
    return Packed(blocks.reshape(samples, height // 2, width // 2, 4 * maps).permute(0, 3, 1, 2))


def unpack(x: Images) -> Tensor:
    """The images, channels-last in memory where they were packed."""
    if not isinstance(x, Packed):
        return x
    samples, maps, height, width = x.maps.shape
    blocks = x.maps.permute(0, 2, 3, 1).reshape(samples, height, width, 2, 2, maps // 4).permute(0, 1, 3, 2, 4, 5)
    return blocks.reshape(samples, 2 * height, 2 * width, maps // 4).permute(0, 3, 1, 2)


def on_maps(function: Callable[[Tensor], Tensor], x: Images) -> Images:
    """Apply an elementwise function."""
    return Packed(function(x.maps)) if isinstance(x, Packed) else function(x)
