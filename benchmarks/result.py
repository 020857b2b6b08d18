"""One benchmark's result: printed, and kept under `benchmarks/results` with the machine's name."""

import os
import platform
import re
from pathlib import Path
from typing import Any

from pipeline import atomic

RESULTS = Path("benchmarks/results")


def machine() -> dict[str, str | int]:
    """The processor's name and how many cores this process may use."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.is_file() else None
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"processor": found[1] if found else platform.processor() or platform.machine(), "cores": usable}


def keep(name: str, result: dict[str, Any]) -> Path:
    """Write `result` as `<name>-<processor>-<cores>.json`, with the machine in it; say where."""
    here = machine()
    slug = re.sub(r"[^a-z0-9]+", "-", f"{here['processor']} {here['cores']} cores".lower()).strip("-")
    path = RESULTS / f"{name}-{slug}.json"
    atomic.write_json(path, {"machine": here, "python": platform.python_version(), **result})
    print(f"kept in {path}")
    return path
