"""What the benchmarks share: saving a result, ratios, peak memory, digests of files."""

import os
import platform
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pipeline import atomic, provenance

RESULTS = Path("benchmarks/results")
T = TypeVar("T")


def machine() -> dict[str, str | int]:
    """The processor's name, and how many cores this process may use."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.is_file() else None
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"processor": found[1] if found else platform.processor() or platform.machine(), "cores": usable}


def save(name: str, figures: Mapping[str, Any], ratios: Mapping[str, float] | None = None) -> Path:
    """Write `figures` and the machine to `<name>-<processor>-<cores>.json`; print the `ratios`, one a line."""
    here = machine()
    where = slug(f"{here['processor']} {here['cores']} cores")
    path = RESULTS / f"{name}-{where}.json"
    atomic.write_json(path, {"machine": here, "python": platform.python_version(), **figures})
    print(f"saved as {path}")
    for key, value in (ratios or {}).items():
        print(f"RATIO {slug(key)} {value}")
    return path


def slug(text: str) -> str:
    """Lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def in_new_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function of a module in a new process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def digests(root: Path, *folders: str) -> dict[str, str]:
    """SHA-256 of every file below `folders` of `root`, by its name relative to `root`; work folders and times
    are left out."""
    files = [path for folder in folders for path in sorted((root / folder).rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(root)): provenance.digest_of_file(path)
        for path in files
        if not {".work", ".rates", "timing.csv"} & {*path.parts}
    }


def own_mib(pid: int) -> float:
    """Anonymous memory of a process (Linux); 0 for one that has ended."""
    try:
        found = re.search(r"^RssAnon:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def descendants(pid: int) -> list[int]:
    """All processes below a process (Linux); none below one that has ended."""
    try:
        found = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    direct = [int(child) for children in found for child in children]
    return direct + [child for one in direct for child in descendants(one)]


def anonymous_mib(pid: int) -> float:
    """Anonymous memory of a process and all below it."""
    return sum(own_mib(process) for process in (pid, *descendants(pid)))


class Sampler(ABC):
    """Calls `sample` every `seconds` in a thread of its own, from entering to leaving."""

    seconds: ClassVar[float]

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.seconds):
            self.sample()

    @abstractmethod
    def sample(self) -> None:
        """Take one sample."""


class PeakMemory(Sampler):
    """Samples `anonymous_mib` of a process, by default this one, every 20 ms; `mib` is the peak."""

    seconds = 0.02

    def __init__(self, pid: int | None = None) -> None:
        self.mib = 0.0
        self._pid = os.getpid() if pid is None else pid

    def sample(self) -> None:  # noqa: D102
        self.mib = max(self.mib, anonymous_mib(self._pid))
