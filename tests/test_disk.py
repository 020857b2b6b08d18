"""Want of space: one sentence with the path, whatever library writes; the next run goes on."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from pipeline import atomic, disk
from pipeline.container import writing_container
from pipeline.errors import DiskFullError
from tests.shards.conftest import HEADER, write

ROOT = Path(__file__).parents[1]
NOISE = np.random.default_rng(0).integers(0, 256, (20, 3, 256, 256)).astype(np.uint8)
LIMIT = 200_000


def _container(path: Path) -> None:
    with writing_container(path, path.name) as container:
        for number in range(40):
            container.add(f"{number}.png", NOISE.tobytes()[:100_000])


def _numpy(partial: Path) -> None:
    with partial.open("wb") as file:
        np.save(file, NOISE)


def _in_place(write_to: Callable[[Path], object]) -> Callable[[Path], None]:
    def written(path: Path) -> None:
        with atomic.writing(path) as partial:
            write_to(partial)

    return written


WRITERS: dict[str, Callable[[Path], None]] = {
    "bytes": lambda path: atomic.write_bytes(path, NOISE.tobytes()),
    "container": _container,
    "hdf5": lambda path: write(path, replace(HEADER, resolution=256), NOISE),
    "parquet": _in_place(lambda partial: pq.write_table(pa.table({"a": NOISE.reshape(-1)}), partial)),
    "numpy": _in_place(_numpy),
    "pillow": _in_place(lambda partial: Image.fromarray(NOISE.reshape(-1, 256, 3)).save(partial, format="png")),
    "safetensors": _in_place(lambda partial: save_file({"a": NOISE}, partial)),
    "torch": _in_place(lambda partial: torch.save({"a": torch.from_numpy(NOISE)}, partial)),
}


@contextmanager
def file_size_limit(limit: int) -> Generator[None]:
    """As `ulimit -f`, in this process: the file system refuses what is larger (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_names_the_file_that_did_not_fit(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with file_size_limit(LIMIT), pytest.raises(DiskFullError, match=rf"{path}: no file may grow larger .*ulimit -f"):
        WRITERS[name](path)
    assert list(tmp_path.iterdir()) == []
    WRITERS[name](path)
    assert path.stat().st_size > LIMIT


ON_A_SMALL_DISK = """
import json, sys
from pathlib import Path
from pipeline import disk
from pipeline.errors import DiskFullError
from tests.test_disk import WRITERS
folder, found = Path(sys.argv[1]), {}
for name, write in WRITERS.items():
    try:
        write(folder / name)
    except DiskFullError as error:
        found[name] = str(error)
try:
    disk.require(folder / "new", 10**9, "crop")
except DiskFullError as error:
    found["require"] = str(error)
print(json.dumps([found, [path.name for path in folder.iterdir()]]))
"""


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=2m none {tmp_path}"
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*unshare, mount], capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small file system in a namespace")
    command = f"{mount} && exec {sys.executable} -c '{ON_A_SMALL_DISK}' {tmp_path}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run([*unshare, command], capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    found, left = json.loads(ran.stdout)
    assert set(found) == {*WRITERS, "require"}
    for name in WRITERS:
        assert found[name].startswith(f"{tmp_path}/{name}: the disk is full: free some space and run this again")
    assert found["require"].startswith(f"crop needs about 1.0 GB below {tmp_path}/new, ")
    assert "are free: free" in found["require"]
    assert left == []


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    for error in (FileNotFoundError(2, "No such file"), ValueError("errno = 5"), RuntimeError("broken")):
        with pytest.raises(type(error)) as caught, atomic.writing(tmp_path / "a"):
            raise error
        assert caught.value is error


def test_sizes_as_text() -> None:
    assert [disk.gigabytes(count) for count in (85_200_000_000, 12_300_000)] == ["85.2 GB", "12.3 MB"]
