"""What a GPU does with this project: `python -m benchmarks.gpu_check` (or `make gpu`).

Runs the GPU tests, compares the ways to compute a training step, measures images/s at every resolution and computes
the hours of the whole schedule, trains for a while, and measures the metrics. Ends after `--minutes`, and saves the
result after every part, so that nothing is lost when it is interrupted. Needs torch, numpy, h5py, pydantic,
safetensors, pillow and pytest; a part that needs more is skipped, and says what is missing.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.drawn_images import DrawnImages
from benchmarks.gpu import MODES, hours, measured, operations, run_of, step_at, trainer_for, with_speed
from benchmarks.result import save, slug
from pipeline.errors import StoppedError
from pipeline.params import TrainRun
from training import loop
from training.data.real_images import Reals
from training.history import Row
from training.ops import conv2d
from training.timing import Timing

RESOLUTIONS = (1024, 512, 256, 128, 64, 32, 16, 8, 4)
COMPILED_FROM = 32
"""Below, the check saves the minute of compilation."""
COMPILING_GIB = 13
"""Memory of a process that compiles the gradients of one resolution, which it compares with the eager ones."""
KINDS = {
    "convolution": r"xmma|cutlass|convolve|cudnn|conv2d|nhwc|convertTensor|[dw]grad|fprop",
    "matrix product": r"gemm|gemv|cublas|splitK",
    "fused elementwise": r"^triton",
    "optimiser": r"multi_tensor",
    "elementwise": r"at::native",
}
"""Kinds of kernels, by their names."""
GPU_MARK = "pytest.mark.gpu"
"""Only files with it are collected: others may need packages that a machine for training lacks."""
TRAINED_RESOLUTION = 64
TRAINED_IMAGES = 4096
TRAINED = {"train_kimg": 10.0, "fade_kimg": 10.0, "tick_kimg": 20.0}


class Check:
    """The options, the clock and the figures so far."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        self.run: TrainRun = run_of(options.run)
        self.options = options
        self.device = device
        self.ends = time.monotonic() + 60 * options.minutes
        self.figures: dict[str, Any] = {
            "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else "none",
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "run": options.run,
        }

    @property
    def seconds_left(self) -> float:
        """Until the end of the check."""
        return self.ends - time.monotonic()

    def part(self, name: str, measure: Callable[["Check"], Any], *, seconds: float) -> None:
        """Measure one part if `seconds` are left, and save the figures."""
        started = time.monotonic()
        if self.seconds_left < seconds:
            found: Any = f"skipped: {self.seconds_left:.0f} s were left, it takes {seconds:.0f}"
        else:
            try:
                found = measure(self)
            except ImportError as error:
                found = f"skipped: {error}"
            except Exception as error:  # noqa: BLE001 - the other parts are measured
                traceback.print_exc()
                found = f"failed: {type(error).__name__}: {error}"
        self.figures[name] = found
        print(f"[{time.monotonic() - started:5.1f} s] {name}: {json.dumps(found)}", flush=True)
        self.save()

    def save(self) -> None:
        """Write all figures so far."""
        save(f"gpu-{slug(self.figures['gpu'])}", self.figures)

    def fast(self, **speed: Any) -> TrainRun:
        """The run, compiled and with graphs, with other values of `speed`."""
        return with_speed(self.run, **(MODES["compiled+graphs"] | speed))


def seconds_of(function: Callable[[], Any]) -> float:
    """Of one call, after three."""
    for _ in range(3):
        function()
    torch.cuda.synchronize()
    started = time.monotonic()
    for _ in range(10):
        function()
    torch.cuda.synchronize()
    return (time.monotonic() - started) / 10


def forwards_and_backwards(op: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
    """The result of an operation, and its gradients."""
    torch.autograd.grad(op(*inputs).sum(), inputs)


def ceilings(check: Check) -> dict[str, float]:
    """Speed of a copy in memory and of a bfloat16 matrix product, which no step exceeds."""
    source = torch.randn(1 << 28, device=check.device)
    target = torch.empty_like(source)
    a, b = (torch.randn(8192, 8192, device=check.device, dtype=torch.bfloat16) for _ in range(2))
    return {
        "copy_gb_per_second": round(2 * source.nbytes / seconds_of(lambda: target.copy_(source)) / 1e9),
        "bfloat16_tflops": round(2 * 8192**3 / seconds_of(lambda: a @ b) / 1e12),
    }


def convolutions(check: Check) -> dict[str, Any]:
    """Milliseconds forwards and backwards of layers at the full resolution, plain and in the form for few maps."""
    run, rows = check.fast(), dict[str, Any]()
    side, minibatch = run.resolution, 2 * step_at(run, run.resolution).minibatch
    maps = conv2d.PACKED_MAPS
    cases = {
        "3x3": ((maps, side), (maps, maps, 3, 3), conv2d.conv2d),
        "down": ((maps, side), (2 * maps, maps, 4, 4), lambda x, w: conv2d.conv2d(x, w, 2)),
        "up": ((2 * maps, side // 2), (2 * maps, maps, 4, 4), lambda x, w: conv2d.conv_transpose2d(x, w, 2)),
    }
    options: dict[str, Any] = {"device": check.device, "dtype": torch.bfloat16}
    for name, ((channels, pixels), shape, op) in cases.items():
        x = torch.randn(minibatch, channels, pixels, pixels, **options).to(memory_format=torch.channels_last)
        inputs = x.requires_grad_(), torch.randn(shape, **options, requires_grad=True)
        for form, limit in (("plain", 0), ("packed", maps)):
            with patch.object(conv2d, "PACKED_MAPS", limit):
                seconds = seconds_of(partial(forwards_and_backwards, op, inputs))
            rows[f"{name} {form}"] = round(1000 * seconds, 3)
    return rows


def compile_all(check: Check) -> dict[str, float]:
    """Fill Inductor's cache, which is on disk, by several processes at once; seconds of all together."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--run", check.options.run, "--compile-only"]
    memory_gib = torch.cuda.get_device_properties(check.device).total_memory / 2**30
    started, limit = time.monotonic(), check.seconds_left / 2

    def compile_one(resolution: int, penalty: str) -> int:
        left = max(limit - (time.monotonic() - started), 1)
        return subprocess.run([*command, str(resolution), penalty], timeout=left, check=False).returncode

    with ThreadPoolExecutor(max(1, int(memory_gib / COMPILING_GIB))) as pool:
        wanted = [(r, penalty) for r in RESOLUTIONS if r >= COMPILED_FROM for penalty in ("float32", "short")]
        codes = list(pool.map(compile_one, *zip(*wanted, strict=True)))
    return {"functions": 2 * codes.count(0), "seconds": round(time.monotonic() - started, 1)}


def tests(check: Check) -> dict[str, Any]:
    """The tests that need a GPU."""
    files = [str(path) for path in sorted(Path("tests/training").rglob("test_*.py")) if GPU_MARK in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=check.seconds_left, check=False)
    lines = done.stdout.splitlines()
    failures = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    if failures:
        print(done.stdout[-8000:], flush=True)
    return {"result": lines[-1] if lines else done.stderr[-500:], "failures": failures}


def compare_modes(check: Check) -> dict[str, Any]:
    """One resolution in every mode; how far the sizes of D's first gradients are from those in float32."""
    found: dict[str, Any] = {}
    expected: Any = None
    for name, options in ({"float32": {"precision": "float32"}} | MODES).items():
        run = with_speed(check.run, **options)
        step = step_at(run, TRAINED_RESOLUTION)
        trainer = trainer_for(run, check.device)
        trainer.update(step)  # leaves (1 - beta2) * gradient^2 in the second moments
        moments = [moment.flatten().double() for moment in trainer.state_dict()["D"]["second"].values()]
        sizes = torch.cat(moments).sqrt()
        expected = sizes if expected is None else expected
        difference = float((sizes - expected).norm() / expected.norm())
        found[name] = measured(run, step, check.device) | {"difference_from_float32": round(difference, 6)}
    return found


def resolutions(check: Check) -> dict[str, Any]:
    """Every resolution in the run's mode, with the penalty in the short type, and eagerly; hours of the schedule."""
    rows: dict[str, Any] = {}
    variants = {"run": {}, "short penalty": {"float32_penalty": False}, "eager": {"compile": False, "graphs_up_to": 0}}
    check.figures["images_per_second"] = rows
    for name, options in variants.items():
        speeds: dict[int, float] = {}
        for resolution in RESOLUTIONS:
            if name == "short penalty" and resolution < COMPILED_FROM:
                speeds[resolution] = rows[f"{resolution} run"]["images_per_second"]
                continue
            if check.seconds_left < (20 if name == "eager" else check.options.training_seconds + 40):
                break
            run = check.fast(**({"compile": resolution >= COMPILED_FROM} | options))
            row = measured(run, step_at(run, resolution), check.device)
            rows[f"{resolution} {name}"] = row
            speeds[resolution] = row["images_per_second"]
            print(f"    {resolution} {name} {row}", flush=True)
            check.save()
        if len(speeds) == len(RESOLUTIONS):
            rows[f"hours {name}"] = round(hours(check.run, speeds), 2)
        if name == "short penalty":
            check.part("training", training, seconds=60)
    return rows


def kernels(check: Check) -> dict[str, Any]:
    """Milliseconds of a step at the full resolution by kind of kernel, and the slowest kernels."""
    run = check.fast()
    step, trainer = step_at(run, run.resolution), trainer_for(run, check.device)
    for _ in range(6):
        trainer.update(step)
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        trainer.update(step)
        torch.cuda.synchronize()
    kinds: dict[str, float] = {}
    times: list[tuple[float, int, str]] = []
    for event in profiler.key_averages():
        milliseconds = event.self_device_time_total / 1000
        kind = next((kind for kind, pattern in KINDS.items() if re.search(pattern, event.key)), "other")
        kinds[kind] = kinds.get(kind, 0) + milliseconds
        times.append((round(milliseconds, 3), event.count, event.key[:120]))
    return {
        "launches": sum(count for milliseconds, count, _ in times if milliseconds),
        "milliseconds": {kind: round(value, 2) for kind, value in kinds.items()},
        "slowest": sorted(times, reverse=True)[:30],
    }


def counts(check: Check) -> dict[str, float]:
    """What a step at the full resolution needs where nothing is fused."""
    step = step_at(check.run, check.run.resolution)
    needed = operations(check.run, step)
    return {
        "gflop_per_image": round(needed.flop / step.minibatch / 1e9),
        "unfused_gb_per_image": round(needed.traffic / step.minibatch / 1e9, 2),
        "unfused_operations_per_step": needed.launches,
    }


def training(check: Check) -> dict[str, Any]:
    """Train from 4x4 on, with the networks of the run; distances of the snapshots, and the samples as PNG files."""
    options = check.options
    images: Any = DrawnImages(TRAINED_RESOLUTION, TRAINED_IMAGES)
    if options.dataset:
        from pipeline.shards.reader import DataSet  # noqa: PLC0415 - not for drawn images

        images = DataSet(options.dataset)
    values = check.run.model_dump()
    values |= {"resolution": TRAINED_RESOLUTION, "labels": False, "snapshot_ticks": 1, "grid_cell_pixels": 64}
    values["snapshot_swd"] |= {"images": 1024}
    values["speed"] |= {"compile": False, "graphs_up_to": TRAINED_RESOLUTION, "gpu_mib": 4096, "workers": 0}
    values["schedule"] |= {"total_kimg": 12000.0, "tick_kimg_at": {}} | TRAINED
    run = TrainRun.model_validate(values)
    ends = time.monotonic() + min(options.training_seconds, check.seconds_left - 20)
    rows, speeds = list[Row](), list[float]()

    class Rows(loop.Reporter):
        def tick(self, row: Row, timing: Timing) -> None:
            rows.append(row)  # the distance of its snapshot is added later
            speeds.append(round(timing.images_per_second, 1))

    try:
        loop.train(
            run, Reals(images, run), options.out, Rows(), check.device, stop_requested=lambda: time.monotonic() > ends
        )
    except StoppedError as error:
        print(error)
    return {"images": len(images), "ticks": rows, "images_per_second": speeds}


def metrics(check: Check) -> dict[str, float]:
    """Seconds of the metrics on the GPU, for images of the full resolution that are in memory."""
    from training.metrics.compute import Compute  # noqa: PLC0415 - the part is skipped where OpenCV is missing
    from training.metrics.msssim_gpu import msssim_of_pairs  # noqa: PLC0415
    from training.metrics.swd import PatchSet, SwdSeed, collect, sliced_wasserstein  # noqa: PLC0415

    side, count, found = check.run.resolution, 64, dict[str, float]()
    images = np.random.default_rng(1).integers(0, 256, (count, 3, side, side), np.uint8)
    with Compute(check.device, threads=4) as compute, tempfile.TemporaryDirectory() as folder:
        msssim_of_pairs(images[:2], compute)
        started = time.monotonic()
        msssim_of_pairs(images, compute)
        found["msssim_seconds_per_pair"] = round((time.monotonic() - started) / (count / 2), 5)
        started, sets = time.monotonic(), list[PatchSet]()
        for draws in (SwdSeed.REALS, SwdSeed.FAKES):
            patches = PatchSet(Path(folder) / draws.name, side, 128, draws.rng(1), compute)
            sets.append(collect(iter([images]), patches))
        found["swd_seconds_per_image"] = round((time.monotonic() - started) / (2 * count), 5)
        started = time.monotonic()
        sliced_wasserstein(*sets, repeats=4, directions=128, rng=SwdSeed.DIRECTIONS.rng(1), compute=compute)
        found["swd_seconds_of_distances"] = round(time.monotonic() - started, 2)
    return found


def restoration(check: Check) -> dict[str, float]:
    """Faces per second of networks of the published size, of about CelebA's sizes: one by one, together, bfloat16."""
    from pipeline.restoration.apply import Restorer  # noqa: PLC0415 - the part is skipped where a package is missing
    from pipeline.restoration.networks import ARResNet, SRResNet  # noqa: PLC0415

    found: dict[str, float] = {}
    rng = np.random.default_rng(1)
    sides = np.exp(rng.normal(0, 0.3, 16)).clip(0.5, 1.4)
    images = [rng.integers(0, 256, (round(274 * side), round(264 * side), 3), np.uint8) for side in sides]
    for network in (ARResNet(64, 16), SRResNet(64, 16)):
        network.eval().to(check.device)
        restorer = Restorer(network, tile_pixels=384)
        half = Restorer(network, tile_pixels=384, precision="bfloat16")
        ways = {
            "one_by_one": lambda r=restorer: [r(image) for image in images],
            "together": partial(restorer.many, images),
        }
        for way, call in (ways | {"together_bfloat16": partial(half.many, images)}).items():
            found[f"{type(network).__name__}_faces_per_second_{way}"] = round(len(images) / seconds_of(call), 2)
    return found


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--run", default="one-gpu", help="a profile with one run, or a run as JSON")
    parser.add_argument("--dataset", type=Path, help="folder of shards to train on; drawn images without it")
    parser.add_argument("--training-seconds", type=float, default=120.0)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_check"), help="where the training writes")
    parser.add_argument("--compile-only", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU: nothing can be measured. Install a build of torch for CUDA, and NVIDIA's driver.")
    check = Check(options, torch.device("cuda"))
    if options.compile_only:
        resolution, penalty = options.compile_only
        run = check.fast(graphs_up_to=0, float32_penalty=penalty == "float32")
        trainer_for(run, check.device).update(step_at(run, int(resolution)))
        return
    check.part("unfused", counts, seconds=0)
    with ThreadPoolExecutor(1) as background:
        compiling = background.submit(check.part, "compiled", compile_all, seconds=60)
        check.part("tests", tests, seconds=30)
        compiling.result()
    check.part("ceilings", ceilings, seconds=5)
    check.part("convolutions", convolutions, seconds=10)
    check.part("kernels", kernels, seconds=60)
    check.part("images_per_second", resolutions, seconds=60)
    check.part("metrics", metrics, seconds=20)
    check.part("restoration", restoration, seconds=30)
    check.part("modes", compare_modes, seconds=60)


if __name__ == "__main__":
    main()
