"""`celebahq doctor`: whether this machine has what the project needs, and what to do where it has not."""

import importlib.metadata
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from pipeline.cores import cores
from pipeline.errors import PipelineError
from stages import DATA

ROOT = Path(__file__).parents[1]
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
OPEN_FILES = 1024
PROCESSES = 1024
SHARED_MEMORY = 1 << 30
FREE = 10 << 30
"""Bytes; less than this is reported: the demo needs 2 GB, `celebahq plan` says what a profile needs."""


class State(StrEnum):
    """Of a check: `failed` is something needed, `note` something that some feature lacks."""

    OK = "ok"
    NOTE = "note"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about the machine, and what to do about it where something is to be done."""

    topic: str
    state: State
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f" -> {self.remedy}" if self.remedy else ""
        return f"{self.state.value:6} {self.topic:22} {self.found}{remedy}"


def examine() -> Iterator[Finding]:
    """All findings; a check that breaks is a failed one."""
    for check in CHECKS:
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 - a broken installation raises anything, and the rest is still of use
            text = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
            yield Finding(check.__name__, State.FAILED, text, "install the locked versions: make env")


def project() -> dict[str, Any]:
    """The section `project` of pyproject.toml, or the same facts of the installed package."""
    path = ROOT / "pyproject.toml"
    if path.is_file():
        return tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    needed = [Requirement(text) for text in importlib.metadata.requires("celebahq") or []]
    extras: dict[str, list[str]] = {}
    for requirement in needed:
        for name in re.findall(r'extra == "([^"]+)"', str(requirement.marker or "")):
            extras.setdefault(name, []).append(f"{requirement.name}{requirement.specifier}")
    return {
        "requires-python": importlib.metadata.metadata("celebahq")["Requires-Python"],
        "dependencies": [str(requirement) for requirement in needed if requirement.marker is None],
        "optional-dependencies": extras,
    }


def python() -> Iterator[Finding]:
    """Python's version."""
    version, wanted = platform.python_version(), project()["requires-python"]
    good = Requirement(f"python{wanted}").specifier.contains(version, prereleases=True)
    state, remedy = (State.OK, "") if good else (State.FAILED, f"install Python {wanted}")
    yield Finding("python", state, f"{version} on {platform.system()} {platform.machine()}", remedy)


def packages() -> Iterator[Finding]:
    """Every dependency against pyproject.toml, and the extras."""
    facts = project()
    faults = [fault for text in facts["dependencies"] if (fault := fault_of(text)) is not None]
    for name, fault in faults:
        yield Finding(name, State.FAILED, fault, "make env, or: pip install -e .")
    yield Finding(
        "packages", State.OK, f"{len(facts['dependencies']) - len(faults)} of {len(facts['dependencies'])} as needed"
    )
    for extra, texts in facts.get("optional-dependencies", {}).items():
        lacking = [" ".join(fault) for text in texts if (fault := fault_of(text)) is not None]
        remedy = f"only for the feature {extra}: pip install -e '.[{extra}]'" if lacking else ""
        yield Finding(f"extra {extra}", State.NOTE if lacking else State.OK, ", ".join(lacking) or "installed", remedy)


def fault_of(text: str) -> tuple[str, str] | None:
    """The name of a requirement and what is wrong with it; None if it is met, or is of no concern here."""
    requirement = Requirement(text)
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return requirement.name, "is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return requirement.name, f"is {version}, needed is {requirement.specifier}"


def decoders() -> Iterator[Finding]:
    """Each JPEG decoder on the packaged picture."""
    from pipeline.faces import decode

    for decoder in decode.SELF_TEST_MD5:
        yield Finding(f"decoder {decoder}", State.OK, f"gives the known pixels ({decode.self_test(decoder)[:8]})")


def renderer() -> Iterator[Finding]:
    """The exact renderer on the packaged picture."""
    from pipeline.published.exact.render import self_test

    self_test()
    yield Finding("exact renderer", State.OK, "gives the known pixels")


def processor() -> Iterator[Finding]:
    """Cores, memory, and instructions that make training fast."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    flags = {*re.findall(r"\w+", next(iter(re.findall(r"^flags\s*:(.*)$", text, re.MULTILINE)), ""))}
    found = [flag for flag in CPU_FLAGS if flag in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Finding(
        "processor", State.OK, f"{cores()} cores, {memory:.0f} GiB of memory, {', '.join(found) or 'no AVX2'}"
    )


def torch_and_gpu() -> Iterator[Finding]:
    """Torch, and each GPU with capability, memory and driver."""
    import torch

    yield Finding("torch", State.OK, f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, "
                  f"{torch.get_num_threads()} threads")  # fmt: skip
    if not torch.cuda.is_available():
        program = shutil.which("nvidia-smi")
        remedy = "torch was built for CPUs only: install its CUDA build" if program and not torch.version.cuda else ""
        yield Finding("gpu", State.NOTE, "none that torch can use; training runs on the CPU", remedy)
        return
    driver = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").splitlines()
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        text = f"{facts.name}, capability {facts.major}.{facts.minor}, {facts.total_memory / 2**30:.0f} GiB, {bf16}"
        yield Finding(f"gpu {number}", State.OK, f"{text}, CUDA {torch.version.cuda}, driver {(driver or ['?'])[0]}")


def disks() -> Iterator[Finding]:
    """Free space of the folders that are written to, and the size of the shared memory."""
    folders = {"disk of data/": DATA, "disk of temporary files": Path(tempfile.gettempdir())}
    for topic, folder in folders.items():
        place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        free, usable = shutil.disk_usage(place).free, os.access(place, os.W_OK)
        state = State.FAILED if not usable else State.NOTE if free < FREE else State.OK
        remedy = (
            f"{place} cannot be written" if not usable else "free some space (celebahq plan)" if free < FREE else ""
        )
        yield Finding(topic, state, f"{free / 1e9:.1f} GB free ({place})", remedy)
    shared = Path("/dev/shm")
    if shared.is_dir():
        size = shutil.disk_usage(shared).total
        few = size < SHARED_MEMORY
        remedy = "workers of the data loader need more: docker run --shm-size=8g" if few else ""
        yield Finding("/dev/shm", State.NOTE if few else State.OK, f"{size / 2**30:.1f} GiB", remedy)


def limits() -> Iterator[Finding]:
    """Open files and processes."""
    for name, option, which, least in (
        ("open files", "-n", resource.RLIMIT_NOFILE, OPEN_FILES),
        ("processes", "-u", resource.RLIMIT_NPROC, PROCESSES),
    ):
        soft, hard = ("unlimited" if n == resource.RLIM_INFINITY else str(n) for n in resource.getrlimit(which))
        few = soft != "unlimited" and int(soft) < least
        remedy = f"ulimit {option} {least}" if few else ""
        yield Finding(name, State.NOTE if few else State.OK, f"{soft} (hard limit {hard}; ulimit {option})", remedy)


def dask() -> Iterator[Finding]:
    """Start a local worker and let it compute."""
    from pipeline.params import ClusterParams
    from pipeline.workers import connect

    started = time.monotonic()
    params = ClusterParams(scheduler=None, worker_wait_minutes=1.0, workers=1, memory_per_worker_mib=1000)
    with connect(params) as client:
        client.submit(abs, -1).result(timeout=60)
    yield Finding("dask", State.OK, f"a local worker computes, {time.monotonic() - started:.1f} s with its start")


def dvc() -> Iterator[Finding]:
    """DVC, and how it links files between its cache and the checkout."""
    text = _output(sys.executable, "-m", "dvc", "version")
    version, types = (re.search(pattern, text) for pattern in (r"DVC version: (\S+)", r"Cache types: (.+)"))
    if version is None:
        yield Finding("dvc", State.FAILED, "does not run", "make env")
        return
    links = types[1] if types and not types[1].startswith("<") else "no cache here yet"
    copies = links == "copy"
    remedy = "results are stored twice; keep data/ and .dvc/cache on one disk (docs/dvc.md)" if copies else ""
    yield Finding("dvc", State.NOTE if copies else State.OK, f"{version[1]}; links: {links}", remedy)


def git() -> Iterator[Finding]:
    """The commit, and whether files differ from it."""
    head = _output("git", "-C", str(ROOT), "log", "-1", "--format=%h %cs").strip()
    if not head:
        yield Finding("git", State.NOTE, "no git repository here: dvc exp and dvc plots diff need one")
        return
    changed = len(_output("git", "-C", str(ROOT), "status", "--porcelain").splitlines())
    yield Finding("git", State.OK, f"{head}, {f'{changed} files differ' if changed else 'no file differs'}")


def _output(*command: str) -> str:
    """What a command prints; empty if it is not installed or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    python, packages, processor, torch_and_gpu, decoders, renderer, disks, limits, dask, dvc, git,
)  # fmt: skip
