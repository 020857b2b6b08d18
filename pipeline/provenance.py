"""What a result was made from: the digests that name a unit of work, and the record left beside results."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

FIRST_PARTY = ("pipeline", "training", "stages")
DECIDING_LIBRARIES = (
    "numpy",
    "numba",
    "scipy",
    "opencv-python-headless",
    "pillow",
    "jpeglib",
    "h5py",
    "hdf5plugin",
    "pyarrow",
    "torch",
)
"""Libraries whose version can change a byte of a result."""

_CODE = (".py", ".pyc")


def digest_of(value: Any) -> str:
    """SHA-256 over the canonical JSON of `value`, as hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_inputs(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file by its path. For a folder: of every file below it, names included."""
    digests: dict[str, str] = {}
    for path in paths:
        if path.is_dir():
            inner = {str(p.relative_to(path)): digest_of_file(p) for p in sorted(path.rglob("*")) if p.is_file()}
            digests[str(path)] = digest_of(inner)
        else:
            digests[str(path)] = digest_of_file(path)
    return digests


def code_closure(module: str) -> list[Path]:
    """Source files of `module` and of all first-party modules that it imports, directly or not, sorted.

    Data files that lie beside a module belong to it.
    """
    found: dict[str, Path] = {}
    data: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in found or path is None:
            continue
        found[name] = path
        data |= {beside for beside in path.parent.iterdir() if beside.is_file() and beside.suffix not in _CODE}
        waiting += _imported(path)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    return sorted({*found.values(), *data})


def code_digest(module: str) -> str:
    """SHA-256 over the source of `module` and all first-party code that it reaches."""
    return digest_of([hashlib.sha256(path.read_bytes()).hexdigest() for path in code_closure(module)])


@cache
def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that decide bytes."""
    versions = {"python": platform.python_version()}
    for name in DECIDING_LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _source(name: str) -> Path | None:
    """The file of a first-party module, found without importing it; None where `name` is none."""
    package, _, rest = name.partition(".")
    spec = importlib.util.find_spec(package) if package in FIRST_PARTY else None
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], *rest.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _imported(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if _source(name) is not None]
