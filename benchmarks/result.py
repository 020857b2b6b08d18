"""What the benchmarks share: saving a result, ratios, peak memory, digests of files."""

import os
import platform
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self, TypeVar

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


def anonymous_mib(pid: int) -> float:
    """Anonymous memory of a process and its children (Linux); 0 for one that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = [
            child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]
    except OSError:
        return 0.0
    own = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    return (int(own[1]) / 1024 if own else 0.0) + sum(anonymous_mib(int(child)) for child in children)


class PeakMemory:
    """Samples `anonymous_mib` of a process, by default this one, every 20 ms; `mib` is the peak."""

    def __init__(self, pid: int | None = None) -> None:
        self.mib = 0.0
        self._pid = os.getpid() if pid is None else pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.02):
            self.mib = max(self.mib, anonymous_mib(self._pid))
