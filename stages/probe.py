"""Seconds and memory per item of the data stages on this machine, from a run of them on a few drawn photographs.

`python -m stages.probe` runs in an empty folder that `measure` makes; its params are those at hand with a small source.
"""

import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import yaml
from dask.distributed import Client, LocalCluster
from PIL import Image

from pipeline import disk, manifest
from pipeline.errors import PipelineError
from pipeline.params import Params, TrainedNetwork
from stages import DATA, MANIFESTS, PARAMS, main, table
from stages.align import align
from stages.crop import crop
from stages.denoise import denoise
from stages.download import download
from stages.extract import extract
from stages.fit_denoise import fit_denoise
from stages.fit_superres import fit_superres
from stages.select import select
from stages.shard import shard
from stages.superres import superres

ROOT = Path(__file__).parents[1]
CHEAP = (download, extract, align, crop)
STAGES = (*CHEAP, fit_denoise, denoise, fit_superres, superres, select, shard)
FACE_PIXELS = 265
"""Width of a drawn face that makes a region of about the pixels of CelebA's (285,000)."""
FEW, MORE_MAX, SECONDS, CHEAP_MORE = 2, 16, 20.0, 48
"""Two runs are compared, since start-up costs both the same: few photographs, and as many more as take seconds.

The cheap stages are compared by themselves, with more photographs: a few take less than the clock's steps.
"""
DRAWING_SECONDS, CHEAP_MOST = 8.0, 1000
"""Small photographs are drawn fast, and are soon decoded: of them there are as many as are drawn in that time."""
STEPS = 4
"""By how many training steps the two runs of a restoration network differ."""
SIDE_MIN = 32


class ProbeError(PipelineError):
    """The probe's stages failed."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one item takes of one core, and the peak memory of the process in bytes.

    An item is a face or a photograph; of `extract` a byte, of `fit_...` a training step.
    """

    seconds: float
    memory: int


def measure(params: Params, seconds: float = SECONDS) -> dict[str, Rate]:
    """The rates of the data stages, by stage; takes about a minute, with large networks a few.

    `seconds`: how long the longer run may take, if it is more than one photograph longer; less is less precise.

    Raises
    ------
    ProbeError
        A stage failed; the message has its last lines.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, MANIFESTS).symlink_to(ROOT / MANIFESTS)
        Path(folder, "given.json").write_text(params.model_dump_json(), encoding="utf-8")
        # the user's own files, accepted terms and downloads stay where they are
        places = {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(Path.cwd())}
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        ran = subprocess.run(
            [sys.executable, "-m", "stages.probe", str(seconds)],
            cwd=folder,
            env=os.environ | threads | places,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise ProbeError(f"the probe failed:\n{ran.stderr[-2000:]}")
        return {stage: Rate(**rate) for stage, rate in json.loads(Path(folder, "rates.json").read_text()).items()}


def probe(seconds: str) -> None:
    """Run the stages on few and on more photographs; write `rates.json`."""
    given = Params.model_validate_json(Path("given.json").read_bytes())
    settings: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**settings) as cluster, Client(cluster):
        run = _Run(given, str(cast(Any, cluster).scheduler_address))
        first = run(FEW, 1, networks=False)  # compiles and loads what is loaded once
        budget, more = float(seconds), CHEAP_MORE
        if given.align.rectangle == "landmarks":
            more = max(more, min(CHEAP_MOST, DRAWING_SECONDS * FEW / first["download"][0]))
        cheap = [run(count, 1, stages=CHEAP) for count in (FEW, FEW + math.ceil(more * budget / SECONDS))]
        few = run(FEW, 1)
        slowest = sum(seconds for seconds, _, _ in few.values()) / FEW
        many = run(FEW + max(1, min(MORE_MAX, int(budget / slowest))), 1 + STEPS)
    few, many = few | cheap[0], many | cheap[1]
    rates: dict[str, dict[str, float]] = {}
    for stage, (taken, items, memory) in many.items():
        taken_few, items_few, _ = few[stage]
        rates[stage] = {
            "seconds": max(0.0, taken - taken_few) / max(1, items - items_few),
            "memory": memory,
        }
    Path("rates.json").write_text(json.dumps(rates), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Run:
    given: Params
    scheduler: str

    def __call__(
        self, count: int, steps: int, *, stages: Sequence[Callable[[], None]] = STAGES, networks: bool = True
    ) -> dict[str, tuple[float, int, int]]:
        """Seconds, items and peak memory of each stage for `count` photographs."""
        for left in (DATA, Path("reports"), Path("records")):
            shutil.rmtree(left, ignore_errors=True)
        PARAMS.write_text(yaml.safe_dump(_small(self.given, self.scheduler, count, steps, networks)), encoding="utf-8")
        found: dict[str, tuple[float, int, int]] = {}
        for stage in stages:
            name = stage.__name__
            _reset_peak()
            started = _core_seconds()
            stage()
            found[name] = (_core_seconds() - started, _items(name, count, steps), _peak_memory())
        return found


def _core_seconds() -> float:
    """Processor time of this process and its children, so that other programs do not count; with a GPU, the time."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter() if torch.cuda.is_available() else sum(u.ru_utime + u.ru_stime for u in used)


def _items(stage: str, count: int, steps: int) -> int:
    if stage == "extract":
        return disk.size_of(DATA / "extract")
    if stage.startswith("fit_"):
        return steps
    return count if stage == "download" else manifest.account(table(stage)).given


def _small(given: Params, scheduler: str, count: int, steps: int, networks: bool) -> dict[str, Any]:
    """The params with a source of `count` images, without limits that so few would break."""
    params: dict[str, Any] = given.model_dump(mode="json")
    params["cluster"] |= {"scheduler": scheduler, "workers": 1}
    params["download"] = {"watch": str(MANIFESTS / "celeba.yaml"), "source": _source(given, count)}
    for section in ("extract", "align", "crop", "denoise", "superres"):
        params[section]["max_dropped"] = 1.0
    params["align"] |= {"photographs": "all", "min_side_pixels": 1}
    params["select"] = {"method": "index", "keep": count}
    params["superres"]["previews"] = 0
    if given.superres.method == "delta":
        params["superres"]["method"] = "lanczos"
    for fit, section in (("fit_denoise", "denoise"), ("fit_superres", "superres")):
        if not networks and params[section]["method"] == "network":
            params[section]["method"] = "none" if section == "denoise" else "lanczos"
            params[fit]["network"] = {"kind": "none"}
        elif isinstance(getattr(given, fit).network, TrainedNetwork):
            params[fit]["photographs"] = str(table("extract"))
            params[fit]["network"] |= {"steps": steps, "held_out_photographs": 1, "threads": 1, "min_pixels": 1}
    return params


def _source(given: Params, count: int) -> dict[str, Any]:
    source = given.download.source
    if given.align.rectangle == "landmarks":
        drawn = {"kind": "synthetic", "photographs": count, "bad_photographs": 0, "seed": 1}
        if source.kind == "synthetic":
            return drawn | {"face_pixels_min": source.face_pixels_min, "face_pixels_max": source.face_pixels_max}
        return drawn | {"face_pixels_min": FACE_PIXELS, "face_pixels_max": FACE_PIXELS + 1}
    folder, side = Path(f"images-{count}"), max(given.align.resolution, SIDE_MIN)
    size = (178, 218) if given.align.rectangle == "celeba-128" else (side, side)
    folder.mkdir(exist_ok=True)
    for number in range(count):
        noise_HWC = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
        Image.fromarray(noise_HWC).save(folder / f"{number:06d}.png")
    return {"kind": "folder", "images": str(folder), "landmarks": None, "attributes": None}


def _reset_peak() -> None:
    """Begin the peak of memory anew, where the system can."""
    peak = Path("/proc/self/clear_refs")
    if peak.exists():
        peak.write_text("5")


def _peak_memory() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(probe)
