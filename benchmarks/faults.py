"""Seeded faults in a small build: what each does to a stage, and whether a second run gives the same bytes.

`python -m benchmarks.faults [COUNT [FIRST_SEED]]` builds a data set of a few drawn photographs once, then runs COUNT
schedules (200). A schedule starts one stage, injects one fault at a random moment, and runs the stage again without it.
The published files must then equal those of the undisturbed build; a stage that failed must have ended with one of the
project's errors, not with a traceback. Exit status 1 otherwise, with the seeds: `python -m benchmarks.faults 1 SEED`
repeats one, as far as timing allows.

Kinds `here-...` use local workers, the others a scheduler and two workers that run in another folder. A small tmpfs
needs root, EIO and clock jumps need gcc; without them these kinds are skipped and named.
"""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.result import digests, save
from stages import main as run_stage
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
SHIM = Path(__file__).with_suffix(".c")
STAGES: dict[str, Callable[[], None]] = {"align": align, "crop": crop, "superres": superres, "shard": shard}
SIZES: dict[str, dict[str, Any]] = {
    "download": {"source": {"kind": "synthetic", "photographs": 24, "bad_photographs": 4}},
    "extract": {"max_dropped": 0.5},
    "align": {"resolution": 128, "photographs_per_chunk": 3, "max_dropped": 0.5},
    "crop": {"faces_per_chunk": 3},
    "fit_denoise": {"network": {"kind": "none"}},
    "denoise": {"method": "none"},
    "fit_superres": {"network": {"kind": "none"}},
    "superres": {"method": "lanczos", "faces_per_chunk": 3, "previews": 4},
    "select": {"keep": 18},
    "shard": {"images_per_shard": 3},
}
WEIGHTS = {
    "worker killed": 34,
    "all workers killed": 10,
    "stage killed": 30,
    "scheduler killed": 16,
    "second run": 20,
    "disk full": 24,
    "here-worker killed": 12,
    "here-stage killed": 14,
    "here-file size limit": 10,
    "here-EIO": 14,
    "here-clock jumps": 8,
    "here-low limit": 4,
    "here-address space": 4,
}
LIMIT_SECONDS = 60


def write_params(root: Path, scheduler: str | None, **cluster: Any) -> None:
    """Write the params of the small build."""
    params = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text(encoding="utf-8"))
    for section, values in SIZES.items():
        for key, value in values.items():
            old = params[section][key]
            merged = isinstance(value, dict) and value.get("kind") != "none"
            params[section][key] = {**old, **value} if merged else value
    params["cluster"] |= {"scheduler": scheduler, "workers": 2, "memory_per_worker_mib": 1500, **cluster}
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


class Cluster:
    """`dask scheduler` and `dask worker` with two processes, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        port = 20_000 + os.getpid() % 20_000
        self.address = f"tcp://127.0.0.1:{port}"
        self._words = {
            "scheduler": ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
            "worker": [self.address, "--nthreads", "1", "--nworkers", "2", "--no-dashboard"],
        }

    def start(self) -> None:
        """Start what does not run."""
        dask = Path(sys.executable).with_name("dask")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        for name, words in self._words.items():
            if name not in self._processes or self._processes[name].poll() is not None:
                with (self._folder / f"{name}.log").open("ab") as log:
                    options: dict[str, Any] = {"cwd": self._folder, "env": environment, "stdout": log, "stderr": log}
                    self._processes[name] = subprocess.Popen([dask, name, *words], start_new_session=True, **options)

    def workers(self) -> list[psutil.Process]:
        """The two worker processes."""
        return spawned(self._processes["worker"].pid)

    def wait(self) -> None:
        """Wait for two workers."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while len(self.workers()) < 2:
            if time.monotonic() > deadline:
                sys.exit(f"{self._folder}: the workers do not start; see the logs there")
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """Kill the scheduler, or the workers with their nanny."""
        os.killpg(self._processes[name].pid, signal.SIGKILL)
        self._processes[name].wait()


def spawned(pid: int) -> list[psutil.Process]:
    """The worker processes below process `pid`."""
    found: list[psutil.Process] = []
    with suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):
                if "spawn_main" in " ".join(process.cmdline()):
                    found.append(process)
    return found


@dataclass
class Build:
    """One run of a stage in a process of its own."""

    root: Path
    stage: str
    environment: dict[str, str] = field(default_factory=dict[str, str])
    limits: dict[int, int] = field(default_factory=dict[int, int])

    def start(self) -> None:
        """Fork; with an environment, Python starts anew, since LD_PRELOAD acts then."""
        self._log = self.root / f"log-{time.monotonic_ns()}.txt"
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setsid()
                log = os.open(self._log, os.O_WRONLY | os.O_CREAT)
                os.dup2(log, 1)
                os.dup2(log, 2)
                os.chdir(self.root)
                os.environ.update(self.environment)
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                for limit, value in self.limits.items():
                    resource.setrlimit(limit, (value, value))
                if self.environment:
                    os.execv(sys.executable, [sys.executable, "-m", f"stages.{self.stage}"])
                sys.argv = [self.stage]
                vars(sys.modules["__main__"]).pop("__file__")  # workers need not import this module
                sys.modules["__main__"].__spec__ = None
                run_stage(STAGES[self.stage])
                code = 0
            except SystemExit as end:
                print(end.code, file=sys.stderr)
            except BaseException:  # noqa: BLE001 - as the interpreter would print it
                sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            finally:
                sys.stderr.flush()
                os._exit(code)

    def wait(self) -> str:
        """How the stage ended: `finished`, `killed`, the name of its error, or what its traceback ends with."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while (ended := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                self.kill()
                return f"hangs: {self._last_lines()}"
            time.sleep(0.01)
        if os.WIFSIGNALED(ended[1]):
            return "killed"
        if os.WEXITSTATUS(ended[1]) == 0:
            return "finished"
        log = self._log.read_text(errors="replace")
        if "Traceback (most recent call last)" in log:
            print(log)
            return f"traceback: {self._last_lines()}"
        named = [line for line in log.splitlines() if line.partition(":")[0].endswith("Error")]
        return named[0].partition(":")[0] if named else f"no error: {self._last_lines()}"

    def kill(self) -> None:
        """SIGKILL the stage, but not its workers."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _last_lines(self) -> str:
        return " | ".join(self._log.read_text(errors="replace").strip().splitlines()[-3:])[-600:]


class Laboratory:
    """Everything that schedules share: the finished build, the cluster, the shim."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = Cluster(folder)
        self.reference = folder / "reference"
        self.shim = folder / "faults.so"
        self.seconds: dict[tuple[str, bool], float] = {}

    def prepare(self) -> None:
        """Make the undisturbed build, with the time of each stage on both kinds of workers."""
        self.reference.mkdir()
        (self.reference / "manifests").symlink_to(ROOT / "manifests")
        write_params(self.reference, None)
        before = Path.cwd()
        os.chdir(self.reference)
        for stage in (download, extract, fit_denoise, fit_superres):
            stage()
        os.chdir(before)
        self.cluster.start()
        self.cluster.wait()
        for stage in STAGES:
            for local in (True, False):
                write_params(self.reference, None if local else self.cluster.address)
                for _ in range(1 if local else 2):  # the first one includes what lasting workers load
                    started = time.monotonic()
                    build = Build(self.reference, stage)
                    build.start()
                    if (end := build.wait()) != "finished":
                        sys.exit(f"{stage}: {end}")
                    self.seconds[stage, local] = time.monotonic() - started
            os.chdir(self.reference)
            if stage == "crop":
                denoise()
            if stage == "superres":
                select()
            os.chdir(before)

    def kinds(self) -> dict[str, int]:
        """The weights of the kinds that this machine can do."""
        kinds = dict(WEIGHTS)
        mount = ["mount", "-t", "tmpfs", "none", self.folder / "probe"]
        compiler = ["gcc", "-shared", "-fPIC", "-o", self.shim, SHIM, "-ldl"]
        if shutil.which("gcc") is None or subprocess.run(compiler, check=False).returncode:
            print("skipped, since there is no gcc: EIO, clock jumps")
            del kinds["here-EIO"], kinds["here-clock jumps"]
        (self.folder / "probe").mkdir()
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            print("skipped, since tmpfs cannot be mounted: disk full")
            del kinds["disk full"]
        else:
            subprocess.run(["umount", self.folder / "probe"], check=True)
        return kinds

    @contextmanager
    def root(self, stage: str) -> Iterator[Path]:
        """A copy of the build in which `stage` has not yet run, on a tmpfs where possible."""
        root = Path(tempfile.mkdtemp(dir=self.folder, prefix="schedule-"))
        mount = subprocess.run(["mount", "-t", "tmpfs", "none", root], capture_output=True, check=False)
        try:
            for name in ("data", "reports", "records", "manifests"):
                if (self.reference / name).exists():
                    shutil.copytree(self.reference / name, root / name, symlinks=True)
            shutil.rmtree(root / "data" / stage)
            yield root
        finally:
            if mount.returncode == 0:
                subprocess.run(["umount", "--lazy", root], check=True)
            shutil.rmtree(root, ignore_errors=True)


def disturbed(laboratory: Laboratory, kind: str, stage: str, root: Path, rng: random.Random) -> list[str]:
    """Run `stage` with a fault of this kind; return how it ended, and the second one for a second run."""
    local = kind.startswith("here-")
    write_params(root, None if local else laboratory.cluster.address)
    build = Build(root, stage)
    set_up(laboratory, kind, build, rng)
    build.start()
    others: list[Build] = []
    if "killed" in kind or kind == "second run":
        time.sleep(rng.uniform(0.3 if local else 0.0, 1.0) * laboratory.seconds[stage, local])
    if "killed" in kind:
        kill(laboratory.cluster, kind, build, rng)
    elif kind == "second run":
        others = [Build(root, stage)]
        others[0].start()
    ends = [build.wait(), *(other.wait() for other in others)]
    if kind == "disk full":
        subprocess.run(["mount", "-o", "remount,size=1G", root], check=True)
    return ends


def set_up(laboratory: Laboratory, kind: str, build: Build, rng: random.Random) -> None:
    """Prepare the faults that are there from the start."""
    made = laboratory.reference / "data" / build.stage
    shim = {"PYTHONPATH": str(ROOT), "LD_PRELOAD": str(laboratory.shim)}
    match kind:
        case "disk full":
            room = rng.uniform(0, 1) ** 2 * sum(path.stat().st_size for path in made.iterdir())
            size = shutil.disk_usage(build.root).used + int(room)
            subprocess.run(["mount", "-o", f"remount,size={max(size, 4096)}", build.root], check=True)
        case "here-file size limit":
            largest = max(path.stat().st_size for path in made.iterdir())
            build.limits = {resource.RLIMIT_FSIZE: int(rng.uniform(0.01, 1.0) * largest)}
        case "here-EIO":
            build.environment = {**shim, "FAULTS_EIO": str(rng.randint(1, 40))}
        case "here-clock jumps":
            build.environment = {**shim, "FAULTS_CLOCK": str(rng.randint(300, 3000))}
        case "here-low limit":
            write_params(build.root, None, memory_per_worker_mib=rng.randint(50, 340))
        case "here-address space":
            build.limits = {resource.RLIMIT_AS: rng.randint(700, 4000) << 20}
        case _:
            pass


def kill(cluster: Cluster, kind: str, build: Build, rng: random.Random) -> None:
    """SIGKILL what `kind` says; what is killed of the cluster starts again."""
    match kind.removeprefix("here-"):
        case "worker killed":
            if workers := spawned(build.pid) if kind.startswith("here-") else cluster.workers():
                with suppress(psutil.Error):
                    rng.choice(workers).kill()
        case "all workers killed":
            cluster.kill("worker")
            cluster.start()
        case "scheduler killed":
            cluster.kill("scheduler")
            cluster.kill("worker")
        case _:
            build.kill()


def schedule(laboratory: Laboratory, kind: str, seed: int) -> tuple[str, list[str]]:
    """Run the schedule of a seed; return how the disturbed run ended, and what is wrong."""
    rng = random.Random(seed)
    stage = rng.choice(list(STAGES))
    laboratory.cluster.start()
    laboratory.cluster.wait()
    with laboratory.root(stage) as root:
        ends = disturbed(laboratory, kind, stage, root, rng)
        faults = [end for end in ends if " " in end]
        laboratory.cluster.start()
        laboratory.cluster.wait()
        write_params(root, None if kind.startswith("here-") else laboratory.cluster.address)
        again = Build(root, stage)
        again.start()
        if (end := again.wait()) != "finished":
            faults.append(f"the second run: {end}")
        expected, found = (digests(place, f"data/{stage}") for place in (laboratory.reference, root))
        if found != expected:
            wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
            faults.append(f"other bytes: {', '.join(wrong)}")
        if left := [str(path.relative_to(root)) for path in (root / "data/.work").glob("*")]:
            faults.append(f"left in data/.work: {', '.join(left)}")
    return f"{stage}: {' and '.join(ends)}", faults


def main(count: int = 200, first: int = 1) -> None:
    """Run the schedules, print and save the counts."""
    outcomes: dict[str, Counter[str]] = {}
    failures: dict[str, list[str]] = {}
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    laboratory = Laboratory(folder)
    try:
        laboratory.prepare()
        print({f"{stage}{' here' if local else ''}": round(s, 2) for (stage, local), s in laboratory.seconds.items()})
        kinds = laboratory.kinds()
        for seed in range(first, first + count):
            kind = random.Random(f"kind {seed}").choices(list(kinds), list(kinds.values()))[0]
            outcome, faults = schedule(laboratory, kind, seed)
            outcomes.setdefault(kind, Counter())[outcome.partition(": ")[2][:60]] += 1
            print(f"{seed} {kind}, {outcome}{''.join(f'{chr(10)}    WRONG {fault}' for fault in faults)}", flush=True)
            if faults:
                failures[str(seed)] = [kind, outcome, *faults]
    finally:
        for name in ("worker", "scheduler"):
            laboratory.cluster.kill(name)
        shutil.rmtree(folder, ignore_errors=True)
    for kind, ends in sorted(outcomes.items()):
        print(f"{kind:22} {ends.total():4}  {', '.join(f'{end} {number}' for end, number in ends.most_common())}")
    print(f"{count} schedules, {count - len(failures)} as they should be")
    figures = {"schedules": count, "first_seed": first, "seconds": round(time.monotonic() - started)}
    save("faults", {**figures, "outcomes": outcomes, "failures": failures})
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
