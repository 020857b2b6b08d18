"""Real images on the device that trains.

N = minibatch, C = 3, L = label size.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.real_images import Reals


def to_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """An array on the device; the host does not wait for a GPU to have it."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Feed:
    """Minibatches of `reals`: from the device itself, where its level is not larger than `gpu_mib`."""

    def __init__(self, reals: Reals, device: torch.device, *, gpu_mib: int) -> None:
        self._reals = reals
        self._device = device
        self._gpu_mib = gpu_mib if device.type != "cpu" else 0
        self._held: tuple[int, Tensor | None] = (0, None)

    def minibatch(
        self, resolution: int, images_shown: int, count: int, samples: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Images (N, C, H, W) uint8, which of them are mirrored (N,), and labels (N, L); see `Reals.minibatch`."""
        level_MCHW = self._level(resolution)
        if level_MCHW is None:
            found = self._reals.minibatch(resolution, images_shown, count, samples)
            images_NCHW = to_device(found.images_NCHW, self._device)
            mirrored_N, labels_NL = found.mirrored_N, found.labels_NL
        else:
            rows = self._reals.rows(images_shown, count)[samples]
            images_NCHW = level_MCHW[to_device(rows, self._device)]
            mirrored_N, labels_NL = self._reals.beside(images_shown, count, samples)
        labels = None if labels_NL is None else to_device(labels_NL, self._device)
        return images_NCHW, to_device(mirrored_N, self._device), labels

    def _level(self, resolution: int) -> Tensor | None:
        if self._held[0] != resolution:
            self._held = (resolution, None)  # the old level is let go before the new one comes
            if self._reals.mib(resolution) <= self._gpu_mib:
                shape = (len(self._reals), 3, resolution, resolution)
                level_MCHW = torch.empty(shape, dtype=torch.uint8, device=self._device)
                for part, images_NCHW in self._reals.parts(resolution):
                    level_MCHW[part] = to_device(images_NCHW, self._device)
                self._held = (resolution, level_MCHW)
        return self._held[1]
