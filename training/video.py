"""Videos: an interpolation between latents, and the progress of a run.

H.264 in MP4, yuv420p of BT.709, with the index before the pictures, so that a browser shows it while it loads. Equal
pictures make equal files with one version of the libraries, whatever the machine: the number of threads is fixed.

T = frames, N = cells of the grid, L = latent size, C = label size or channels, H, W = height and width.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pipeline import atomic
from pipeline.errors import ParamsError
from pipeline.progress import progress
from training import sampling
from training.data import random_streams
from training.data.random_streams import Stream
from training.generate import Snapshot
from training.image_grid import Pixels, image_grid
from training.sampling import Grid

SMOOTHING_SECONDS = 45 / 60
"""Standard deviation in time of the latents' Gaussian: 45 frames of 60 in a second (Karras et al. 2018)."""
SMALLEST_CELL = 128
"""Pixels of a cell at least; smaller images are enlarged, since H.264 halves the resolution of colours."""
MOST_PIXELS = 16384
"""Of a side; what H.264 and its decoders hold."""
BT709, LIMITED_RANGE = 1, 1
THREADS = 4
"""Of the encoder: their number decides bytes."""
_MINIBATCH = 8


@dataclass(frozen=True, slots=True)
class Written:
    """What a video holds; `width` and `height` in pixels are even."""

    frames: int
    fps: int
    width: int
    height: int


def interpolation_latents(seed: int, frames: int, cells: int, latent_size: int, sigma: float) -> NDArray[np.float32]:
    """Latents (T, N, L) that move smoothly and end where they begin.

    Each frame's are drawn from N(0, 1), smoothed over time by a Gaussian of `sigma` frames that goes on from the last
    frame to the first, and scaled to unit RMS, as those from N(0, 1) have in the mean.
    """
    drawn_TNL = random_streams.latents(seed, Stream.VIDEO, 0, (frames * cells, latent_size))
    smooth_TNL = gaussian_filter1d(drawn_TNL.reshape(frames, cells, -1).astype(np.float64), sigma, axis=0, mode="wrap")
    rms_TN1 = np.sqrt(np.square(smooth_TNL).mean(axis=2, keepdims=True))
    return (smooth_TNL / rms_TN1).astype(np.float32)


def interpolation(
    snapshot: Snapshot, grid: Grid, *, seconds: float, fps: int, seed: int, label: NDArray[np.float32] | None
) -> tuple[int, Iterator[Pixels]]:
    """The number of frames, and the frames (H, W, 3): a loop of images whose latents move through the latent space.

    With labels, each cell keeps a class, one after the other, or all have the label (C,).
    """
    frames = round(seconds * fps)
    if frames < 1:
        raise ParamsError(f"--seconds {seconds:g} at --fps {fps}: makes no frame; give more seconds")
    cell = max(SMALLEST_CELL, snapshot.info.resolution)
    width, height = grid.columns * cell, grid.rows * cell
    if max(width, height) > MOST_PIXELS:
        raise ParamsError(
            f"--grid {grid.columns}x{grid.rows}: {width}x{height} pixels, and H.264 has {MOST_PIXELS} a side at most"
        )
    sigma = SMOOTHING_SECONDS * fps
    latents_TNL = interpolation_latents(seed, frames, grid.cells, snapshot.info.generator.latent_size, sigma)
    labels_NC = sampling.labels_of_rows(snapshot.info, label, range(grid.cells))

    def pictures() -> Iterator[Pixels]:
        at_once = max(1, _MINIBATCH // grid.cells)
        for start in range(0, frames, at_once):
            part_TNL = latents_TNL[start : start + at_once]
            labels = None if labels_NC is None else np.tile(labels_NC, (len(part_TNL), 1))
            made = snapshot.images(part_TNL.reshape(-1, part_TNL.shape[2]), labels, _MINIBATCH)
            for images_NCHW in np.split(made, len(part_TNL)):
                yield image_grid(images_NCHW, grid.columns, cell)

    return frames, pictures()


def encode(path: Path, frames: Iterable[Pixels], *, count: int, fps: int, crf: int = 16) -> Written:
    """Write `count` pictures (H, W, 3) of one size as a video, whole or not at all; odd sides get one more row, column.

    `crf` is the constant rate factor of x264: 0 is lossless, 23 its default.

    Raises
    ------
    ParamsError
        The package av is not installed, or `path` does not end in .mp4.
    """
    if path.suffix.lower() != ".mp4":
        raise ParamsError(f"{path}: videos are written as MP4. Name the file {path.with_suffix('.mp4').name}.")
    if find_spec("av") is None:
        raise ParamsError("videos need the package av, which is not installed: pip install 'celebahq[video]'")
    import av  # noqa: PLC0415 - of the extra
    from av.video.reformatter import Colorspace  # noqa: PLC0415

    options = {"movflags": "faststart", "fflags": "+bitexact"}
    with (
        atomic.writing(path) as partial,
        av.open(str(partial), "w", format="mp4", options=options) as container,
    ):
        stream: Any = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "medium"})
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", THREADS
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        written = 0
        for picture_HWC in progress(frames, total=count, unit="frame"):
            even_HWC = _even(picture_HWC)
            if not written:
                stream.height, stream.width = even_HWC.shape[:2]
            frame: Any = av.VideoFrame.from_ndarray(even_HWC, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            frame.pts, frame.time_base = written, Fraction(1, fps)
            container.mux(stream.encode(frame))
            written += 1
        container.mux(stream.encode())
        return Written(written, fps, stream.width, stream.height)


def _even(picture_HWC: Pixels) -> Pixels:
    """The picture with even sides, as yuv420p needs: the last row or column once more."""
    height, width = picture_HWC.shape[:2]
    odd = (0, height % 2), (0, width % 2), (0, 0)
    return np.ascontiguousarray(np.pad(picture_HWC, odd, mode="edge") if height % 2 or width % 2 else picture_HWC)
