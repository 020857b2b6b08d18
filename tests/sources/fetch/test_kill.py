"""Killed downloads continue where they stopped, and memory does not grow with the file.

`CELEBAHQ_KILLS=30 pytest tests/sources/fetch/test_kill.py -s` kills more often and prints the numbers.
"""

import io
import os
import random
import signal
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from faulty_server import FaultyServer
from fetching import downloads
from tiny_sources import DataSet, dataset

from pipeline import atomic
from pipeline.sources.fetch.transfer import READ_BYTES
from pipeline.sources.published import Published

KILLS = int(os.environ.get("CELEBAHQ_KILLS", "5"))
CHILD = """
import sys
from pathlib import Path
here, folder, url, manifest = sys.argv[1:]
sys.path[:0] = [here, str(Path(here).parent)]
from fetching import downloads
from pipeline.sources.published import Published
published = Published.model_validate_json(Path(manifest).read_bytes())
downloads(Path(folder), url, connections=2).fetch(published, published.files)
"""


def test_killed_at_any_byte_it_resumes_and_fetches_almost_nothing_twice(server: FaultyServer, tmp_path: Path) -> None:
    data = _half_of_it_hashed(6 << 20, 3 << 20)
    for name, content in data.contents.items():
        server.put(f"/big/{name}", content)
    total = sum(map(len, data.contents.values()))
    moments = sorted(random.Random(5).randrange(total - (1 << 16)) for _ in range(KILLS))
    (tmp_path / "manifest.json").write_text(data.published.model_dump_json())
    killed = 0
    while True:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tmp_path), server.url, "manifest.json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            stderr=subprocess.PIPE,
        )

        server.watch = _killer(server, child, moments[killed] if killed < KILLS else None)
        _, message = child.communicate(timeout=60)
        _check_nothing_wrong(tmp_path, data.published, data.contents)
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, message.decode()
        killed += 1
    assert killed == KILLS
    for name, content in data.contents.items():
        assert (tmp_path / "big" / name).read_bytes() == content
    again = sum(server.sent.values()) - total
    print(f"\n{killed} kills in {total} bytes: {again} bytes fetched twice ({again / total:.2%})")
    assert again <= 0.05 * total + killed * READ_BYTES


MOMENTS = ("before the check", "before the rename", "before the receipt", "in the receipt")
DYING = """
import os, signal
from pipeline import atomic
from pipeline.sources.fetch import downloads as module, retrieval
moment, name = os.environ["DIE"].split(":")

def dying(owner, attribute, named):
    whole = getattr(owner, attribute)
    def function(*given, **more):
        if named(given) == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*given, **more)
    setattr(owner, attribute, function)

match moment:
    case "before the check":
        dying(retrieval.Retrieval, "_verify", lambda given: given[0].file.name)
    case "before the rename":
        dying(Path, "replace", lambda given: given[1].name)
    case "before the receipt":
        dying(module, "_write_receipt", lambda given: given[0].name)
    case "in the receipt":
        dying(Path, "replace", lambda given: given[1].name.removesuffix(".receipt.json"))
"""


def test_killed_after_the_last_byte_nothing_is_fetched_twice(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _half_of_it_hashed(100_000, 0, count=2)
    for name, content in data.contents.items():
        server.put(f"/big/{name}", content)
    (tmp_path / "manifest.json").write_text(data.published.model_dump_json())
    deaths = [f"{moment}:{name}" for name in data.contents for moment in MOMENTS]
    for death in [*deaths, "never:"]:
        died = _run(tmp_path, server, death)
        assert died.returncode == (0 if death == "never:" else -signal.SIGKILL), (death, died.stderr.decode())
        _check_nothing_wrong(tmp_path, data.published, data.contents)
    total = sum(map(len, data.contents.values()))
    again = sum(server.sent.values()) - total
    print(f"\n{len(deaths)} kills after the last byte of {total}: {again} bytes fetched twice")
    assert again == 0
    assert any(path.suffix == ".partial" for path in (tmp_path / "big").iterdir()), "of a receipt, left by a kill"
    monkeypatch.setattr(atomic, "ABANDONED_SECONDS", -1)
    downloads(tmp_path, server.url).fetch(data.published, data.published.files)
    names = {path.name for path in (tmp_path / "big").iterdir()}
    assert names == {f"{name}{suffix}" for name in data.contents for suffix in ("", ".receipt.json")}


def _run(folder: Path, server: FaultyServer, death: str) -> "subprocess.CompletedProcess[bytes]":
    # one connection: this does not count what the kill costs another file
    script = CHILD.replace("connections=2", "connections=1").replace("\npublished = ", f"\n{DYING}\npublished = ")
    return subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent), str(folder), server.url, "manifest.json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "DIE": death},
        capture_output=True,
        check=False,
    )


def _half_of_it_hashed(smallest: int, step: int, count: int = 4) -> DataSet:
    """Files with published hashes, and as many zips without."""
    contents = {n: random.Random(n).randbytes(smallest + step * n) for n in range(count)}
    hashed = dataset("big", {f"{n}.bin": content for n, content in contents.items() if n % 2 == 0})
    unhashed = dataset("big", {f"{n}.zip": _zip(content) for n, content in contents.items() if n % 2}, hashed=False)
    files = (*hashed.published.files, *unhashed.published.files)
    return DataSet(hashed.published.model_copy(update={"files": files}), {**hashed.contents, **unhashed.contents})


def _zip(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("one"), content)
    return stream.getvalue()


def _killer(server: FaultyServer, child: "subprocess.Popen[bytes]", moment: int | None) -> Callable[[str, int], None]:
    """Kill the child once the server has sent so many bytes."""

    def watch(_: str, __: int) -> None:
        if moment is not None and sum(server.sent.values()) >= moment:
            child.kill()

    return watch


def _check_nothing_wrong(folder: Path, published: Published, contents: Mapping[str, bytes]) -> None:
    for file in published.files:
        path = folder / "big" / file.path
        assert not path.exists() or path.read_bytes() == contents[file.path]


def test_memory_does_not_grow_with_the_file(server: FaultyServer, tmp_path: Path) -> None:
    peaks: list[int] = []
    for megabytes in (4, 64):
        data = dataset("big", {f"{megabytes}.bin": bytes(megabytes << 20)})
        for name, content in data.contents.items():
            server.put(f"/big/{name}", content)
        tracemalloc.start()
        downloads(tmp_path, server.url).fetch(data.published, data.published.files)
        downloads(tmp_path, server.url).fetch(data.published, data.published.files)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    print(f"\npeak of traced memory: {peaks[0]} bytes for 4 MiB, {peaks[1]} for 64 MiB")
    assert peaks[1] < peaks[0] + (1 << 20)
    assert peaks[1] < 8 << 20
