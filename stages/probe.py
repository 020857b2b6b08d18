"""Seconds and memory per item of the data stages on this machine, from a run of them on a few drawn photographs.

`python -m stages.probe` runs in an empty folder that `measure` makes; its params are those at hand with a small source.
A stage takes `Rate.seconds`: a start, so much for each item in its own process, and so much for each item and chunk in
a worker. The stages run with one worker that stays: on few photographs and on more, which shows what an item takes, and
on some at once and one by one, which shows what a chunk takes. Those with workers run once more on few photographs, in
processes and with workers of their own as in `dvc repro`, which shows how long these take to start.
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
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from dask.distributed import Client
from PIL import Image

from pipeline import cluster, disk, manifest
from pipeline.cores import cores
from pipeline.errors import PipelineError
from pipeline.params import Params, TrainedNetwork
from pipeline.progress import QUIET
from pipeline.provenance import read_json
from pipeline.shards import finalize
from pipeline.workers import connect
from stages import DATA, MANIFESTS, PARAMS, REPORTS, main, remaining, table

ROOT = Path(__file__).parents[1]
CHEAP = ("download", "extract", "align", "crop")
STAGES = tuple(stage for stage in remaining.STAGES if stage != "detect")
FACE_PIXELS = 265
"""Width of a drawn face that makes a region of about the pixels of CelebA's (285,000)."""
FEW, MORE_MAX, SECONDS, CHEAP_MORE = 2, 16, 20.0, 48
"""Few photographs, and as many more as take seconds. The cheap stages run by themselves, on more photographs."""
CHUNKS = 4
"""Of one photograph each, against as many photographs in one chunk."""
ROWS = ("photographs_per_chunk", "faces_per_chunk", "images_per_shard")
"""The params that say how large a chunk is."""
DRAWING_SECONDS, MOST = 8.0, 1000
"""Small photographs are drawn and worked on fast: of them there are as many as are drawn in that time."""
REPEATS = {"extract": 3, "align": 3, "select": 3}
"""Of small photographs these take little more than their start, whose time varies; the fastest run counts."""
STEPS = 4
"""By how many training steps the two runs of a restoration network differ."""
SIDE_MIN, SHARP_SIDE = 32, 512
"""Of images that are not drawn; the second of those that networks are trained on, where patches are no larger."""


class ProbeError(PipelineError):
    """The probe's stages failed."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a stage takes on this machine: seconds, and the peak memory in bytes of a worker or, without one, of itself.

    `start`: until workers work, and after the last item. `main` for an item in the stage's process, which works while
    no worker does; `worker` for an item and `chunk` for a chunk in a worker. An item is a face or a
    photograph; of `extract` a byte, of `fit_...` a training step.
    """

    start: float
    main: float
    worker: float
    chunk: float
    memory: int

    def seconds(self, items: float, chunks: int, workers: int) -> float:
        """Of the clock, for so many items in chunks."""
        return self.start + items * self.main + (items * self.worker + chunks * self.chunk) / workers


def chunks_of(params: Params, stage: str, items: int) -> int:
    """In how many chunks a stage divides its items among its workers; 0 for a stage without workers."""
    if remaining.workers_of(params, stage) is None:
        return 0
    if stage == "shard":
        return math.ceil(items / params.shard.images_per_shard)
    section = dict(getattr(params, stage))
    (rows,) = (section[name] for name in ROWS if name in section)
    slow = stage == "superres" and params.superres.method == "network"
    return sum(1 for _ in cluster.spans(items, rows, slow=slow))


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
        places = {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(Path.cwd()), QUIET: "1"}
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
    sheets: Any = import_module("stages.superres")
    sheets.FACES = sheets.EXTREMES = 0  # sheets show as many faces of a large set as of a small one
    finalize.GRID = 1
    cluster.SMALLEST = cluster.SMALLEST_SLOW = MOST  # chunks as long as those of a long table
    with connect(given.cluster.model_copy(update={"scheduler": None, "workers": 1})) as client:
        rates = _rates(given, client, float(seconds) / SECONDS)
    Path("rates.json").write_text(json.dumps({stage: asdict(rate) for stage, rate in rates.items()}))


def _rates(given: Params, client: Client, effort: float) -> dict[str, Rate]:
    """The rates of all stages, with a worker that stays; `effort` is 1 for precise results."""
    run = _Run(given, client)
    run(FEW, 1, networks=False)  # compiles and loads what is loaded once
    at_once = run(CHUNKS, 1, networks=False)
    one_by_one = _Run(_in_small_chunks(given), client)(CHUNKS, 1, networks=False)
    if "network" in (given.denoise.method, given.superres.method):
        client.run(import_module, "pipeline.restoration.apply")
    few_cheap = run(FEW, 1, stages=CHEAP)
    drawn = min(MOST, DRAWING_SECONDS * FEW / few_cheap["download"].seconds)
    more = CHEAP_MORE if given.align.rectangle != "landmarks" else max(CHEAP_MORE, drawn)
    many_cheap = run(FEW + math.ceil(more * effort), 1, stages=CHEAP)
    few = run(FEW, 1)
    clocks = {stage: took.clock for stage, took in few.items()} | _clocks_of_processes(given)
    slow = sum(took.worker for took in few.values()) / FEW
    more = max(1, min(MORE_MAX, int(SECONDS * effort / max(slow, 1e-3))))
    many = run(FEW + more, 1 + STEPS)
    slow = sum(many[stage].seconds - few[stage].seconds for stage in few) / more
    even_more = int(min(drawn * effort, SECONDS * effort / max(slow, 1e-6)))
    if even_more > 2 * more:
        many = run(FEW + even_more, 1 + STEPS)
    few, many = few | few_cheap, many | many_cheap
    return {
        stage: _rate(few[stage], many[stage], _chunk(at_once[stage], one_by_one[stage]), clock)
        for stage, clock in clocks.items()
    }


def _in_small_chunks(given: Params) -> Params:
    """One image in each chunk."""
    params = given.model_dump(mode="json")
    for section in params.values():
        section.update(dict.fromkeys(section.keys() & {*ROWS}, 1))
    return Params.model_validate_json(json.dumps(params))


def _clocks_of_processes(given: Params) -> dict[str, float]:
    """Seconds of the clock for few photographs, which all stages have done, of those with workers: with their own."""
    PARAMS.write_text(yaml.safe_dump(_small(given, None, FEW, 1, networks=True)), encoding="utf-8")
    found: dict[str, float] = {}
    for stage in STAGES:
        if remaining.workers_of(given, stage) is not None:
            shutil.rmtree(DATA / stage)
            subprocess.run([sys.executable, "-m", f"stages.{stage}"], check=True)
            found[stage] = read_json(REPORTS / f"{stage}.json")["seconds"]
    return found


def _choose(given: Params, scheduler: str | None, count: int, steps: int, *, networks: bool) -> None:
    """Make the folder empty but for the params."""
    for left in (DATA, REPORTS):
        shutil.rmtree(left, ignore_errors=True)
    PARAMS.write_text(yaml.safe_dump(_small(given, scheduler, count, steps, networks)), encoding="utf-8")


def _run(stage: str) -> None:
    # here, since workers load this module: they need what stages load, and no more
    getattr(import_module(f"stages.{stage}"), stage)()


def _chunk(at_once: "_Took", one_by_one: "_Took") -> float:
    """Seconds of a chunk, from the same items in few chunks and in many."""
    chunks = one_by_one.chunks - at_once.chunks
    return max(0.0, one_by_one.worker - at_once.worker) / chunks if chunks else 0.0


def _rate(few: "_Took", many: "_Took", chunk: float, clock: float) -> Rate:
    """`clock`: of the stage as it is run, for few items, of which what items and chunks do not take is the start."""
    more = max(1, many.items - few.items)
    main = max(0.0, many.main - few.main) / more
    worker = max(0.0, many.worker - few.worker - (many.chunks - few.chunks) * chunk) / more if many.chunks else 0.0
    start = max(0.0, clock - few.items * (main + worker) - few.chunks * chunk)
    return Rate(start, main, worker, chunk, many.memory)


@dataclass(frozen=True, slots=True)
class _Took:
    """What a stage took: seconds of the clock, processor seconds of its process and of its worker, memory in bytes.

    Those of the worker contain dask's in the stage's process, since there both work at the same time.
    """

    clock: float
    main: float
    worker: float
    memory: int
    items: int
    chunks: int

    @property
    def seconds(self) -> float:
        return self.main + self.worker


@dataclass(frozen=True, slots=True)
class _Run:
    """Runs stages with the worker of a client."""

    given: Params
    client: Client

    def __call__(
        self, count: int, steps: int, *, stages: Sequence[str] = STAGES, networks: bool = True
    ) -> dict[str, _Took]:
        """What each stage takes for `count` photographs."""
        _choose(self.given, self.client.scheduler_info()["address"], count, steps, networks=networks)
        found: dict[str, _Took] = {}
        for stage in stages:
            took = [self._took(stage, count, steps) for _ in range(REPEATS.get(stage, 1))]
            found[stage] = min(took, key=lambda one: one.seconds)
        return found

    def _took(self, stage: str, count: int, steps: int) -> _Took:
        worker = self._on_worker(os.getpid)
        for process in (os.getpid(), worker):
            _reset_peak(process)
        before = self._seconds()
        _run(stage)
        clock, serial, parallel = (end - begin for begin, end in zip(before, self._seconds(), strict=True))
        items = _items(stage, count, steps)
        chunks = chunks_of(self.given, stage, items)
        if not chunks:
            serial = min(serial, clock)  # what works at the same time, in threads and children, counts once
        if _has_gpu():  # whose time is no processor's
            serial, parallel = (serial, clock - serial) if chunks else (clock, 0.0)
        return _Took(clock, serial, parallel, _peak_memory(worker if chunks else 0), items, chunks)

    def _seconds(self) -> tuple[float, float, float]:
        """The clock; processor seconds of this thread and of children; those of the worker and of dask's threads here.

        The last two work at the same time. Other programs do not count.
        """
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        thread, process = time.thread_time(), time.process_time()
        serial = thread + children.ru_utime + children.ru_stime
        return time.monotonic(), serial, self._on_worker(time.process_time) + process - thread

    def _on_worker(self, function: Callable[[], Any]) -> Any:
        """What a function gives in the worker."""
        answers: Any = self.client.run(function)
        return next(iter(answers.values()))


@cache
def _has_gpu() -> bool:
    import torch  # noqa: PLC0415

    return torch.cuda.is_available()


def _items(stage: str, count: int, steps: int) -> int:
    if stage == "extract":
        return disk.size_of(DATA / "extract")
    if stage.startswith("fit_"):
        return steps
    return count if stage == "download" else manifest.account(table(stage)).given


def _small(given: Params, scheduler: str | None, count: int, steps: int, networks: bool) -> dict[str, Any]:
    """The params with a source of `count` images, without limits that so few would break."""
    params: dict[str, Any] = given.model_dump(mode="json")
    workers = min(given.cluster.workers, cores())
    params["cluster"] |= {"scheduler": scheduler, "workers": workers}
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
            side = max(SHARP_SIDE, 8 * params[fit]["network"]["patch_pixels"])
            params[fit]["photographs"] = str(_noise(Path(f"sharp-{fit}").absolute(), 2, (side, side)))
            params[fit]["network"] |= {"steps": steps, "held_out_photographs": 1, "threads": 1, "min_pixels": 1}
    return params


def _source(given: Params, count: int) -> dict[str, Any]:
    source = given.download.source
    if given.align.rectangle == "landmarks":
        drawn = {"kind": "synthetic", "photographs": count, "bad_photographs": 0, "seed": 1}
        if source.kind == "synthetic":
            return drawn | {"face_pixels_min": source.face_pixels_min, "face_pixels_max": source.face_pixels_max}
        return drawn | {"face_pixels_min": FACE_PIXELS, "face_pixels_max": FACE_PIXELS + 1}
    side = max(given.align.resolution, SIDE_MIN)
    size = (178, 218) if given.align.rectangle == "celeba-128" else (side, side)
    folder = _noise(Path(f"images-{count}"), count, size)
    return {"kind": "folder", "images": str(folder), "landmarks": None, "attributes": None}


def _noise(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """A folder with so many images of that width and height."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        noise_HWC = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
        Image.fromarray(noise_HWC).save(folder / f"{number:06d}.png")
    return folder


def _reset_peak(process: int) -> None:
    """Begin the peak of a process's memory anew, where the system can."""
    peak = Path(f"/proc/{process}/clear_refs")
    if peak.exists():
        peak.write_text("5")


def _peak_memory(process: int) -> int:
    """Of a process, 0 for this one."""
    status = Path(f"/proc/{process or 'self'}/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(probe)
