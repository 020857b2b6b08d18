"""A full-size rehearsal: all data stages on as many drawn photographs as CelebA has, which are small.

    python -m benchmarks.rehearsal [--photographs 202599] [--workers 2 | --scheduler] [--networks] [--twice [STAGE ...]]
    python -m benchmarks.rehearsal --photographs 2000 --resolution 1024 --faces 100 250    # of CelebA's size

Some hundred photographs are drawn; the others are these with moved landmarks and another comment in the file, so each
file is distinct, and drawing them takes minutes instead of hours. Names, splits, attributes and the kinds of bad files
are those of the demo; one photograph in 1,000 is bad. `--scheduler` starts a dask scheduler and four workers as
processes of their own. `--networks` has a small network in denoise and superres.

Before the first stage `celebahq plan` says what is to come. Per stage: seconds of the clock, processor seconds of all
its processes, peak memory (anonymous pages) of the stage's process, of a worker or another child, and of the scheduler;
the memory of the largest worker in the last third of a long stage by that in the first; the disk that the result takes.
The processes of `--scheduler` are followed through all stages too.
`--twice` runs each stage that works in chunks, or those named, a second time with one worker, after its result was
removed: `RATIO align-one-worker-by-2`, of the whole stage by the clock, and `align-chunks-...`, of its chunks alone.
At the end inputs are counted: all are kept or dropped by some stage. Exit status 1 if they are not.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml

from benchmarks.rehearsal_stage import SECONDS
from benchmarks.result import Sampler, descendants, own_mib, save
from pipeline import disk, manifest
from pipeline.errors import DropReason
from pipeline.params import Params
from pipeline.provenance import read_json
from stages import DATA, PARAMS, RATES, plan, probe, profiles, remaining, table

ROOT = Path(__file__).resolve().parents[1]
STAGES = probe.STAGES
WITH_TABLE = ("extract", "align", "crop", "denoise", "superres", "select", "shard")
BAD_SHARE, KEPT = 1000, 30_000
FACE_PIXELS = (24, 40)
CLUSTER_WORKERS, WORKER_MIB = 4, 2000
FIRST, LONG_ENOUGH, SHOWN = 40, 160, 20
"""Samples while a worker loads its libraries, from how many on its memory is shown over time, and in how many means."""


def params_of(
    photographs: int,
    resolution: int,
    *,
    networks: bool,
    workers: int,
    scheduler: str | None,
    faces: Sequence[int] = FACE_PIXELS,
) -> Params:
    """CelebA's chunks and limits, with drawn photographs and small results; `faces` are their least and most pixels."""
    params: dict[str, Any] = profiles.read_profile("celebahq-network").model_dump(mode="json")
    bad = max(photographs // BAD_SHARE, 1)
    smallest, largest = faces
    source = {"photographs": photographs - bad, "bad_photographs": bad, "seed": 1}
    source |= {"kind": "synthetic", "face_pixels_min": smallest, "face_pixels_max": largest}
    params["download"] = {"watch": "manifests/celeba.yaml", "source": source}
    params["cluster"] |= {"workers": workers, "scheduler": scheduler, "memory_per_worker_mib": WORKER_MIB}
    params["align"] |= {"resolution": resolution, "min_side_pixels": 8, "max_suspicious": 1.0}
    for stage in ("extract", "align", "crop", "denoise", "superres"):
        params[stage]["max_dropped"] = 0.05
    params["select"] = {"method": "quality", "keep": max(photographs * KEPT // 202_599, 1)}
    params["lsun"]["categories"] = []
    for fit, stage, without in (("fit_denoise", "denoise", "none"), ("fit_superres", "superres", "lanczos")):
        if networks:
            small = {"channels": 8, "blocks": 1, "patch_pixels": 16, "minibatch": 4, "steps": 50, "threads": 1}
            params[fit]["network"] |= small | {"max_photographs": 64, "held_out_photographs": 4}
        else:
            params[fit]["network"] = {"kind": "none"}
            params[stage]["method"] = without
    return Params.model_validate_json(json.dumps(params))


@dataclass
class Watched(Sampler):
    """Memory of the processes of a stage while it runs, in MiB, by their part in it."""

    seconds: ClassVar = 0.25

    main: int | None
    others: dict[int, str]
    samples: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    parts: dict[int, str] = field(default_factory=dict[int, str])

    def sample(self) -> None:  # noqa: D102
        known = dict(self.others)
        if self.main is not None:
            known |= {self.main: "main"} | dict.fromkeys(descendants(self.main), "worker")
        for process, part in known.items():
            memory = own_mib(process)
            if memory:
                self.parts[process] = part
                self.samples.setdefault(process, []).append(memory)

    def peak(self, part: str) -> int:
        """The highest value of any process of this part."""
        return round(max((max(self.samples[p]) for p, of in self.parts.items() if of == part), default=0))

    def course(self, part: str) -> list[float]:
        """Means of the memory in equal times of the process of this part with the largest peak; none of a short one."""
        known = [values for p, of in self.parts.items() if of == part and (values := self.samples[p][FIRST:])]
        values = max(known, key=max, default=list[float]())
        parts = np.array_split(values, SHOWN) if len(values) >= LONG_ENOUGH else []
        return [round(float(np.mean(some)), 1) for some in parts]


def growth(course: Sequence[float]) -> float | None:
    """The mean of the last third by that of the first; None for no values."""
    third = len(course) // 3
    return round(float(np.mean(course[-third:]) / np.mean(course[:third])), 3) if third else None


def _processor_seconds(process: int) -> float:
    """Of a process that runs, without its children."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def cluster(folder: Path) -> Generator[tuple[str, dict[int, str]]]:
    """A dask scheduler and its workers as processes of their own: the address, and the part of each process."""
    dask, address = Path(sys.executable).with_name("dask"), folder / "scheduler.json"
    environment = _environment()
    with ExitStack() as stack:

        def start(*words: str) -> int:
            log = stack.enter_context((folder / f"{words[0]}.log").open("ab"))
            process = subprocess.Popen(
                [dask, *words], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            stack.callback(process.wait)
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
            return process.pid

        local = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(address))
        parts = {start("scheduler", *local): "scheduler"}
        while not address.exists() or not address.read_text():
            time.sleep(0.1)
        found = json.loads(address.read_text())["address"]
        options = ("--no-dashboard", "--nthreads", "1", "--no-nanny", "--memory-limit", f"{WORKER_MIB}MiB")
        parts |= {start("worker", found, *options): "worker" for _ in range(CLUSTER_WORKERS)}
        yield found, parts


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def timed_stage(name: str, folder: Path, others: dict[int, str]) -> dict[str, Any]:
    """Run a stage in a process of its own; what it took."""
    before = {process: _processor_seconds(process) for process in others}
    started = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.rehearsal_stage", name]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=_environment(), stdout=log, stderr=log)
        with Watched(process.pid, others) as watched:
            _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if status:
        sys.exit(f"{name} failed:\n{(folder / f'{name}.log').read_text()[-3000:]}")
    own = json.loads((folder / f"{name}{SECONDS}").read_text())
    busy = sum(_processor_seconds(process) - taken for process, taken in before.items())
    total = used.ru_utime + used.ru_stime + busy
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(total, 1),
        "serial_seconds": round(own["serial"], 1),
        "chunks_seconds": round(own["chunks"], 1),
        "main_mib": watched.peak("main"),
        "worker_mib": watched.peak("worker"),
        "scheduler_mib": watched.peak("scheduler"),
        "course_mib": {part: watched.course(part) for part in ("main", "worker", "scheduler")},
        "bytes": disk.size_of(folder / DATA / name),
        "stage_seconds": (read_json(folder / RATES / f"{name}.json") or {}).get("seconds"),
    }


def by_one_worker(stage: str, params: Params, folder: Path) -> dict[str, Any]:
    """What a stage that has run takes with one worker: its result is removed and made again, from the same inputs."""
    PARAMS.write_text(_text(params.model_copy(update={"cluster": params.cluster.model_copy(update={"workers": 1})})))
    shutil.rmtree(DATA / stage)
    found = timed_stage(stage, folder, {})
    PARAMS.write_text(_text(params))
    return found


def _text(params: Params) -> str:
    return yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False)


def count_all(photographs: int) -> dict[str, Any]:
    """Whether all photographs are kept or dropped by some stage, from the tables in the current folder."""
    accounts = {stage: manifest.account(table(stage)) for stage in WITH_TABLE}
    # a photograph that was never packed is known to align alone, by its annotations
    absent = accounts["align"].dropped.get(DropReason.NO_PHOTOGRAPH, 0)
    dropped = {stage: account.given - account.kept for stage, account in accounts.items()}
    missed: dict[str, int] = {}
    for before, after in pairwise(WITH_TABLE):
        expected = accounts[before].kept + (absent if after == "align" else 0)
        if accounts[after].given != expected:
            missed[after] = expected - accounts[after].given
    whole = photographs == accounts["shard"].kept + sum(dropped.values())
    return {"accounts": {k: asdict(v) for k, v in accounts.items()}, "missed": missed, "whole": whole and not missed}


def compared(params: Params, needs: Sequence[plan.Need], figures: dict[str, dict[str, Any]]) -> dict[str, float]:
    """What the plan said by what was measured.

    Seconds of the clock; processor seconds, those of workers spread over them, in which other programs do not count;
    disk. The plan's seconds of `download` are those of drawing all photographs, which are not drawn here.
    """
    ratios: dict[str, float] = {}
    for need in needs:
        measured = figures.get(need.stage)
        if measured is None:
            continue
        measured |= {"planned_seconds": need.seconds, "planned_bytes": need.result, "planned_memory": need.memory}
        split = remaining.workers_of(params, need.stage) or 1
        own = measured["serial_seconds"] if split > 1 else measured["processor_seconds"]
        spread = own + (measured["processor_seconds"] - own) / split
        if need.seconds and need.stage != "download":
            for what, seconds in (("seconds", measured["stage_seconds"]), ("processor seconds", spread)):
                if seconds:
                    ratios[f"{need.stage} {what} plan by measured"] = round(need.seconds / seconds, 2)
        if need.result and measured["bytes"] > 1_000_000:
            ratios[f"{need.stage} bytes plan by measured"] = round(need.result / measured["bytes"], 2)
    return ratios


def rehearse(
    photographs: int,
    resolution: int,
    *,
    faces: Sequence[int],
    workers: int,
    scheduler: bool,
    networks: bool,
    planned: bool,
    twice: Collection[str],
    within: Path,
) -> dict[str, Any]:
    """Plan, run all stages in a new folder in `within`, count; print a table."""
    with tempfile.TemporaryDirectory(dir=within) as name, ExitStack() as stack:
        folder = Path(name)
        os.chdir(folder)
        stack.callback(os.chdir, ROOT)
        for known in ("manifests", "profiles"):
            Path(known).symlink_to(ROOT / known)
        address, others = stack.enter_context(cluster(folder)) if scheduler else (None, {})
        workers = CLUSTER_WORKERS if scheduler else workers
        params = params_of(photographs, resolution, networks=networks, workers=workers, scheduler=address, faces=faces)
        PARAMS.write_text(_text(params))
        needs = plan.disk_needs(params)
        if planned:
            needs = plan.with_rates(params, needs, probe.measure(params))
        figures: dict[str, dict[str, Any]] = {}
        head = ("stage", "seconds", "cpu s", "main", "worker", "sched.", "growth", "disk MB", "plan s", "plan MB")
        print(f"{head[0]:<14}" + "".join(f"{word:>10}" for word in head[1:]), flush=True)
        said = {need.stage: need for need in needs}
        through = stack.enter_context(Watched(None, others))
        for stage in STAGES:
            found = figures[stage] = timed_stage(stage, folder, others)
            need = said[stage]
            cells = (
                found["seconds"], found["processor_seconds"], found["main_mib"], found["worker_mib"],
                found["scheduler_mib"], growth(found["course_mib"]["worker"]) or "-", round(found["bytes"] / 1e6, 1),
                "-" if need.seconds is None else round(need.seconds, 1), round(need.result / 1e6, 1),
            )  # fmt: skip
            print(f"{stage:<14}" + "".join(f"{cell:>10}" for cell in cells), flush=True)
            if stage in twice and found["chunks_seconds"]:
                found["one_worker"] = by_one_worker(stage, params, folder)
        ratios = compared(params, needs, figures)
        for stage, found in figures.items():
            for part, what in (("seconds", stage), ("chunks_seconds", f"{stage} chunks")):
                if "one_worker" in found:
                    ratios[f"{what} one worker by {workers}"] = round(found["one_worker"][part] / found[part], 2)
        counted = count_all(photographs)
        print(f"{photographs} photographs: in = kept + dropped: {counted['whole']} {counted['missed'] or ''}")
        total = sum(found["seconds"] for found in figures.values())
        print(f"all stages: {total:.0f} s, {1000 * total / photographs:.2f} ms a photograph")
        course = {part: through.course(part) for part in ("scheduler", "worker")}
        if values := course["scheduler"]:
            print(f"scheduler: {values[0]} to {values[-1]} MiB, last third of all stages by first {growth(values)}")
        options = {"photographs": photographs, "resolution": resolution, "networks": networks, "workers": workers}
        return options | {
            "cluster": scheduler,
            "face_pixels": [*faces],
            "stages": figures,
            "course_mib": course,
            "ratios": ratios,
            **counted,
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--photographs", type=int, default=202_599)
    parser.add_argument("--resolution", type=int, default=64, help="side of the final images")
    parser.add_argument("--faces", type=int, nargs=2, default=FACE_PIXELS, help="least and most pixels of a face")
    parser.add_argument("--workers", type=int, default=2, help="local worker processes")
    parser.add_argument("--scheduler", action="store_true", help="a dask scheduler and four worker processes instead")
    parser.add_argument("--networks", action="store_true", help="small networks in denoise and superres")
    parser.add_argument("--no-plan", action="store_true", help="without the minute that the plan's probe takes")
    parser.add_argument("--twice", nargs="*", choices=STAGES, help="stages (all) again, with one local worker")
    parser.add_argument("--within", type=Path, default=Path("/var/tmp"), help="where the temporary folder is made")
    chosen = parser.parse_args()
    if chosen.twice is not None and (chosen.scheduler or chosen.workers == 1):
        parser.error("--twice compares several local workers with one")
    result = rehearse(
        chosen.photographs,
        chosen.resolution,
        faces=chosen.faces,
        workers=chosen.workers,
        scheduler=chosen.scheduler,
        networks=chosen.networks,
        planned=not chosen.no_plan,
        twice=() if chosen.twice is None else chosen.twice or STAGES,
        within=chosen.within.absolute(),
    )
    where, side = "cluster" if chosen.scheduler else "local", "" if chosen.resolution == 64 else f"-{chosen.resolution}"
    save(f"rehearsal-{where}{side}", result, result["ratios"])
    sys.exit(0 if result["whole"] else 1)
