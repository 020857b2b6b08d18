"""Downloads that are killed go on where they were, and never hold more memory than a few blocks.

`CELEBAHQ_KILLS=30 pytest tests/sources/fetch/test_kill.py -s` kills more often and prints the figures.
"""

import os
import random
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from faulty_server import FaultyServer
from fetching import downloads
from tiny_sources import dataset

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


def test_killed_at_any_byte_it_goes_on_and_fetches_next_to_nothing_again(server: FaultyServer, tmp_path: Path) -> None:
    data = dataset("big", {f"{n}.bin": random.Random(n).randbytes((6 + 3 * n) << 20) for n in range(4)})
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
        _, said = child.communicate(timeout=60)
        _check_nothing_wrong(tmp_path, data.published, data.contents)
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, said.decode()
        killed += 1
    assert killed == KILLS
    for name, content in data.contents.items():
        assert (tmp_path / "big" / name).read_bytes() == content
    again = sum(server.sent.values()) - total
    print(f"\n{killed} kills in {total} bytes: {again} bytes fetched again ({again / total:.2%})")
    assert again <= 0.05 * total + killed * READ_BYTES


def _killer(server: FaultyServer, child: "subprocess.Popen[bytes]", moment: int | None) -> Callable[[str, int], None]:
    """Kill the child once the server has sent so many bytes."""

    def watch(_: str, __: int) -> None:
        if moment is not None and sum(server.sent.values()) >= moment:
            child.kill()

    return watch


def _check_nothing_wrong(folder: Path, published: Published, contents: dict[str, bytes]) -> None:
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
