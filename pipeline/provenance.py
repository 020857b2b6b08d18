"""What a result was made from: digests of params, inputs and code, and versions of libraries."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = ("pipeline", "training", "stages")
DECIDING_LIBRARIES = (
    "numpy",
    "numba",
    "scipy",
    "opencv-python-headless",
    "pillow",
    "jpeglib",
    "h5py",
    "hdf5plugin",
    "isal",
    "pyarrow",
    "torch",
)
"""Libraries whose version can change a byte of a result."""
RECORD = "record.json"
"""In every published folder: what it was made from. Equal in every run of equal code on equal params and inputs."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is no file, or it is damaged."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def results_above(path: Path, others: Iterable[Path] = ()) -> Path | None:
    """The folder of results that `path` is or lies in: one that has a record, or is of `others`; None without one."""
    known, path = {folder.resolve() for folder in others}, path.resolve()
    return next((each for each in (path, *path.parents) if each in known or "digest" in read_json(each / RECORD)), None)


def flat(values: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Nested values by dotted names: `schedule.train_kimg`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{section}{key}.") if isinstance(value, Mapping) else {f"{section}{key}": value}
    return found


def digest_of(value: Any) -> str:
    """SHA-256 over the canonical JSON of `value`, as hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_inputs(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file by its path. For a folder: of every file below it, names included."""
    return {str(path): _digest_of_folder(path, "**/*") if path.is_dir() else digest_of_file(path) for path in paths}


def _digest_of_folder(folder: Path, *patterns: str) -> str:
    files = (path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    return digest_of({str(path.relative_to(folder)): digest_of_file(path) for path in files})


@cache
def code_digest() -> str:
    """SHA-256 over the source files of the project's packages, with their names."""
    return _digest_of_folder(Path(__file__).parents[1], *(f"{package}/**/*.py" for package in PACKAGES))


@cache
def installed_digest() -> str:
    """SHA-256 over the source files and the recipes, as they were when this process first asked."""
    return digest_of([code_digest(), digest_of_file(Path(__file__).parents[1] / "stages" / "recipes.yaml")])


@cache
def library_versions(*more: str) -> dict[str, str]:
    """Versions of Python and of the installed libraries that decide bytes, and of `more`."""
    versions = {"python": platform.python_version()}
    for name in (*DECIDING_LIBRARIES, *more):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
