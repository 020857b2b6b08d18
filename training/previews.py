"""What is made of a snapshot after it was saved, in a process of its own: grids of samples, their figures, distances.

Training goes on meanwhile. The process reads the network file, so its figures depend on that alone.
"""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Self

import torch

from pipeline import atomic
from pipeline.errors import PipelineError
from pipeline.params import TrainRun
from pipeline.shards.reader import DataSet
from training import checkpoint, generate, health
from training.data import random_streams
from training.data.random_streams import Stream
from training.data.real_images import Reals
from training.history import Row
from training.image_grid import Pixels, image_grid, write_png
from training.metrics.compute import Compute
from training.metrics.snapshot_fid import SnapshotFidMetric
from training.metrics.snapshot_swd import SnapshotMetric
from training.runtime.device import prepare
from training.runtime.signals import STOP_SIGNALS, die_with_parent
from training.schedule import Step

SCRATCH = "scratch-"
"""The start of the names of folders for patches, one for each process that trains."""
ATTEMPTS = 2
"""How often a snapshot is tried whose process was killed."""


class Preview:
    """Makes the grids and figures of snapshots, one after the other.

    Parameters
    ----------
    folder
        Of the run: holds the network files, receives `grids/`.
    scratch
        For the patches of the distance.
    """

    def __init__(self, run: TrainRun, reals: Reals, folder: Path, scratch: Path, device: torch.device) -> None:
        self._run = run
        self._reals = reals
        self._folder = folder
        self._device = device
        self._compute = Compute(threads=run.threads if device.type == "cuda" else 1)
        self._metrics: list[SnapshotMetric | SnapshotFidMetric] = []
        if run.snapshot_swd is not None:
            self._metrics.append(SnapshotMetric(run.snapshot_swd, run, reals, scratch, self._compute))
        if run.snapshot_fid is not None:
            self._metrics.append(SnapshotFidMetric(run.snapshot_fid, run, reals, device))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._compute.__exit__()

    def measure(self, images_shown: int, step: Step) -> Row:
        """Write the grids of a snapshot after `step`; returns its figures by name."""
        snapshot = generate.load(checkpoint.network_path(self._folder, images_shown), self._device)
        average = snapshot.generator.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - untyped
        run, count = self._run, self._run.grid_columns * self._run.grid_rows
        first = self._reals.read(step.resolution, 0, count)
        path = reals_path(self._folder, step.resolution)
        if not path.exists():
            self._write_grid(path, first.images_NCHW)
        latents_NL = random_streams.latents(run.seed, Stream.GRID, 0, (count, run.networks.latent_size))
        samples = generate.images(average, latents_NL, first.labels_NL, lod=step.lod, minibatch=step.minibatch)
        self._write_grid(samples_path(self._folder, images_shown), samples)
        std = health.sample_std(samples)
        figures = {} if std is None else {health.SAMPLE_STD: std}
        for metric in self._metrics:
            value = metric.measure(average, step)
            if value is not None:
                figures[metric.name] = value
        return figures

    def _write_grid(self, path: Path, images_NCHW: Pixels) -> None:
        write_png(path, image_grid(images_NCHW, self._run.grid_columns, self._run.grid_cell_pixels))


class PreviewProcess:
    """The process that measures snapshots; started with the first one, and again if it is killed."""

    def __init__(self, run: TrainRun, dataset: DataSet, folder: Path, device: torch.device) -> None:
        self._run = run
        self._dataset = dataset
        self._folder = folder
        self._device = torch.device("cuda", torch.cuda.current_device()) if device.type == "cuda" else device
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._waiting: list[tuple[int, Step]] = []
        self._attempts = 0

    def submit(self, images_shown: int, step: Step) -> None:
        """Have the snapshot after `images_shown`, of the step `step`, measured after those submitted before."""
        self._waiting.append((images_shown, step))
        if len(self._waiting) == 1:
            self._send()

    def take(self, wait_seconds: float) -> tuple[int, Row | str] | None:
        """The next result, in the order of the submissions: images shown and the figures, or why there are none.

        None if there is none within `wait_seconds`.
        """
        if not self._waiting:
            return None
        assert self._connection is not None
        try:
            if not self._connection.poll(wait_seconds):
                return None
            result: Row | str = self._connection.recv()
        except (EOFError, OSError):
            self.close()
            if self._attempts < ATTEMPTS:
                self._send()
                return None
            result = "the process that measures it was killed, perhaps for lack of memory"
        images_shown, _ = self._waiting.pop(0)
        self._attempts = 0
        if self._waiting:
            self._send()
        return images_shown, result

    def close(self) -> None:
        """End the process, in whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def _send(self) -> None:
        self._attempts += 1
        if self._connection is None:
            context = multiprocessing.get_context("forkserver")
            self._connection, other = context.Pipe()
            scratch = self._folder / f"{SCRATCH}{os.getpid()}"
            arguments = other, self._run, self._dataset, self._folder, scratch, self._device
            process = context.Process(target=_serve, args=arguments, daemon=True)
            with suppress(OSError, EOFError):  # no memory for a process: `take` finds out
                process.start()
                self._process = process
            other.close()
        with suppress(OSError):  # it was killed: as above
            self._connection.send(self._waiting[0])


def preload() -> None:
    """Start the process that preview processes are forked from: it imports what they need, and has no threads or GPU.

    It takes seconds, meanwhile this process goes on.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    forkserver.ensure_running()


@contextmanager
def preview_process(run: TrainRun, dataset: DataSet, folder: Path, device: torch.device) -> Generator[PreviewProcess]:
    """The process, until the context ends; with it go all scratch folders, also those that killed runs left."""
    _remove_scratch(folder)
    process = PreviewProcess(run, dataset, folder, device)
    try:
        yield process
    finally:
        process.close()
        _remove_scratch(folder)


def samples_path(folder: Path, images_shown: int) -> Path:
    """The grid of the samples of a snapshot, in the folder of a run."""
    return folder / "grids" / f"samples-{images_shown:09d}.png"


def reals_path(folder: Path, resolution: int) -> Path:
    """The grid of the reals at a resolution."""
    return folder / "grids" / f"reals-{resolution:04d}.png"


def _remove_scratch(folder: Path) -> None:
    """Remove what killed processes left: patches, and pictures that were being written."""
    atomic.sweep(folder)
    for left in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)


def _serve(  # noqa: PLR0917 - the arguments of a process
    connection: Connection, run: TrainRun, dataset: DataSet, folder: Path, scratch: Path, device: torch.device
) -> None:
    """Measure the snapshots that `connection` names until it is closed."""
    for number in STOP_SIGNALS:  # they are for the process that trains, which ends this one
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    prepare(run, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = False
    else:
        torch.set_num_threads(1)  # the others are busy with training
    with ExitStack() as stack:
        preview: Preview | None = None
        while True:
            try:
                images_shown, step = connection.recv()
            except EOFError:
                return
            try:
                if preview is None:
                    preview = stack.enter_context(Preview(run, Reals(dataset, run), folder, scratch, device))
                result: Row | str = preview.measure(images_shown, step)
            except (PipelineError, RuntimeError, OSError) as error:  # RuntimeError: of torch, such as too little memory
                result = f"{type(error).__name__}: {error}"
            connection.send(result)
