"""Images from a network file.

N = images, C = 3, H = W = resolution of the snapshot, L = latent size.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.errors import NetworkError
from training import checkpoint, sampling
from training.checkpoint import NetworkInfo
from training.data import random_streams
from training.data.random_streams import Stream
from training.image_grid import Pixels, image_grid, write_png
from training.networks import Generator
from training.sampling import Grid

SHEET = "grid.png"
"""The file of a sheet."""
_MINIBATCH = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A generator of a network file, mostly the running average Gs, ready to use."""

    info: NetworkInfo
    generator: Generator

    def latents(self, seed: int, count: int) -> NDArray[np.float32]:
        """`count` latent vectors (N, L) drawn from `seed`."""
        return random_streams.latents(seed, Stream.SAMPLES, 0, (count, self.info.generator.latent_size))

    def images_of_seeds(self, seeds: Sequence[int], labels_NC: NDArray[np.float32] | None) -> Iterator[Pixels]:
        """One image (C, H, W) of each seed; it depends on nothing but the seed and its label.

        Its latent is the first that is drawn from the seed. Each image is computed alone: the last bit of a sum may
        depend on the size of the minibatch.
        """
        for row, seed in enumerate(seeds):
            label_1C = None if labels_NC is None else labels_NC[row : row + 1]
            yield self.images(self.latents(seed, 1), label_1C, 1)[0]

    def images(
        self, latents_NL: NDArray[np.float32], labels_NL: NDArray[np.float32] | None, minibatch: int
    ) -> NDArray[np.uint8]:
        """Images (N, C, H, W) uint8 RGB at the snapshot's level of detail, generated `minibatch` at a time."""
        return images(self.generator, latents_NL, labels_NL, lod=self.info.lod, minibatch=minibatch)


def load(path: Path, device: torch.device, which: str = "Gs") -> Snapshot:
    """Read a generator of a network file: the running average "Gs", or "G" as trained.

    Raises
    ------
    NetworkError
        No such file, not a network file of this version, or its weights do not fit its options.
    """
    info, networks = checkpoint.read_network(path, [which])
    generator = Generator(
        info.generator, resolution=info.full_resolution, channels=info.channels, label_size=info.label_size
    )
    try:
        generator.load_state_dict(networks[which])
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


def write_images(
    snapshot: Snapshot, folder: Path, *, count: int, seed: int, label: NDArray[np.float32] | None, grid: Grid | None
) -> None:
    """Write `count` images, drawn from one seed, as `000000.png` and so on, or as one sheet; other files stay.

    With labels, they are of one class after the other, or of `label` (C,).
    """
    latents_NL = snapshot.latents(seed, count)
    labels_NC = sampling.labels_of_rows(snapshot.info, label, range(count))

    def made() -> Iterator[Pixels]:
        for start in range(0, count, _MINIBATCH):
            part = slice(start, start + _MINIBATCH)
            yield from snapshot.images(latents_NL[part], None if labels_NC is None else labels_NC[part], _MINIBATCH)

    _write(folder, (f"{number:06d}" for number in range(count)), made(), grid)


def write_seeds(
    snapshot: Snapshot, folder: Path, seeds: Sequence[int], *, label: NDArray[np.float32] | None, grid: Grid | None
) -> None:
    """Write the image of each seed as `seed0007.png` and so on, or all as one sheet; other files stay.

    With labels, the class of a seed is the seed modulo the number of classes, or `label` (C,) for all.
    """
    labels_NC = sampling.labels_of_rows(snapshot.info, label, seeds)
    _write(folder, (f"seed{seed:04d}" for seed in seeds), snapshot.images_of_seeds(seeds, labels_NC), grid)


def _write(folder: Path, names: Iterable[str], made: Iterator[Pixels], grid: Grid | None) -> None:
    if grid is None:
        for name, image_CHW in zip(names, made, strict=True):
            write_png(folder / f"{name}.png", image_CHW.transpose(1, 2, 0))
        return
    images_NCHW = np.stack(list(made))
    write_png(folder / SHEET, image_grid(images_NCHW, grid.columns, images_NCHW.shape[-1]))


def to_uint8(images_NCHW: Tensor, shrink: int = 1) -> Tensor:
    """Float images of range [-1, 1] to uint8: mean of `shrink` x `shrink` pixels, rounded half to even, clipped."""
    levels_NCHW = images_NCHW * 127.5 + 127.5
    if shrink > 1:
        levels_NCHW = functional.avg_pool2d(levels_NCHW, shrink)
    return levels_NCHW.round().clamp(0, 255).to(torch.uint8)
