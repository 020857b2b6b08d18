"""Images from a network file.

N = images, C = 3, H = W = resolution of the snapshot, L = latent size.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.errors import NetworkError
from training import checkpoint
from training.checkpoint import NetworkInfo
from training.data import random_streams
from training.data.random_streams import Stream
from training.image_grid import write_png
from training.networks import Generator

_MINIBATCH = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The generator of a network file, the running average Gs, ready to use."""

    info: NetworkInfo
    generator: Generator

    def latents(self, seed: int, count: int) -> NDArray[np.float32]:
        """`count` latent vectors (N, L) drawn from `seed`."""
        return random_streams.latents(seed, Stream.SAMPLES, 0, (count, self.info.generator.latent_size))

    def images(
        self, latents_NL: NDArray[np.float32], labels_NL: NDArray[np.float32] | None, minibatch: int
    ) -> NDArray[np.uint8]:
        """Images (N, C, H, W) uint8 RGB at the snapshot's level of detail, generated `minibatch` at a time."""
        return images(self.generator, latents_NL, labels_NL, lod=self.info.lod, minibatch=minibatch)


def load(path: Path, device: torch.device) -> Snapshot:
    """Read the generator of a network file.

    Raises
    ------
    NetworkError
        No such file, not a network file of this version, or its weights do not fit its options.
    """
    info, networks = checkpoint.read_network(path, ["Gs"])
    generator = Generator(
        info.generator, resolution=info.full_resolution, channels=info.channels, label_size=info.label_size
    )
    try:
        generator.load_state_dict(networks["Gs"])
    except RuntimeError as error:  # raised by torch for missing, unknown or misshapen weights
        raise NetworkError(f"{path}: its weights do not fit its own options: {error}. Train again.") from error
    return Snapshot(info, generator.to(device).requires_grad_(False).eval())


@torch.no_grad()
def images(
    generator: Generator,
    latents_NL: NDArray[np.float32],
    labels_NL: NDArray[np.float32] | None,
    *,
    lod: float,
    minibatch: int,
    shrink: int = 1,
) -> NDArray[np.uint8]:
    """Images (N, C, H, W) uint8 RGB of `generator` at `lod`, `minibatch` at a time; `shrink` as `to_uint8`."""
    device = next(generator.parameters()).device
    parts: list[NDArray[np.uint8]] = []
    for start in range(0, len(latents_NL), minibatch):
        part = slice(start, start + minibatch)
        labels = None if labels_NL is None else torch.from_numpy(labels_NL[part]).to(device)
        made = generator(torch.from_numpy(latents_NL[part]).to(device), labels, lod)
        parts.append(to_uint8(made, shrink).cpu().numpy())
    return np.concatenate(parts)


def write_images(network: Path, folder: Path, *, count: int, seed: int, device: torch.device) -> None:
    """Write `count` images of a network file as `000000.png` and so on; other files in `folder` stay.

    With labels, the images are of one class after the other.
    """
    snapshot = load(network, device)
    latents_NL = snapshot.latents(seed, count)
    size = snapshot.info.label_size
    labels_NL = np.eye(size, dtype=np.float32)[np.arange(count) % size] if size else None
    for start in range(0, count, _MINIBATCH):
        part = slice(start, start + _MINIBATCH)
        made_NCHW = snapshot.images(latents_NL[part], None if labels_NL is None else labels_NL[part], _MINIBATCH)
        for number, image_CHW in enumerate(made_NCHW, start):
            write_png(folder / f"{number:06d}.png", image_CHW.transpose(1, 2, 0))


def to_uint8(images_NCHW: Tensor, shrink: int = 1) -> Tensor:
    """Float images of range [-1, 1] to uint8: mean of `shrink` x `shrink` pixels, rounded half to even, clipped."""
    levels_NCHW = images_NCHW * 127.5 + 127.5
    if shrink > 1:
        levels_NCHW = functional.avg_pool2d(levels_NCHW, shrink)
    return levels_NCHW.round().clamp(0, 255).to(torch.uint8)
