"""What tests have workers do; a module of its own, since each worker that starts loads it, and pytest takes long."""

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import chunks, manifest
from pipeline.chunks import Chunk
from pipeline.cluster import outcomes
from pipeline.container import writing_container
from pipeline.errors import DropReason, RejectedInputError
from pipeline.manifest import Drop, Photograph


def check(row: Photograph) -> Photograph:
    if row.index % 5 == 0:
        raise RejectedInputError(DropReason.TOO_SMALL, f"{row.index} pixels")
    return row


def store(rows: Sequence[Photograph], stem: Path, calls: Path) -> Iterator[Photograph | Drop]:
    """A task of the true shape: a container and the rows that point into it; each call leaves a trace."""
    (calls / stem.name).touch()
    with writing_container(stem.with_suffix(".tar"), f"extract/{stem.name}.tar") as container:
        for outcome in outcomes(rows, check):
            if isinstance(outcome, Photograph):
                stored = container.add(outcome.file, outcome.file.encode() * 100)
                yield manifest.extend(outcome, Photograph, photograph=stored)
            else:
                yield outcome


def fail(rows: Sequence[Photograph], stem: Path) -> Iterator[Photograph | Drop]:
    raise ArithmeticError(f"no such luck with {stem.name}")


def die(rows: Sequence[Photograph], stem: Path) -> Iterator[Photograph | Drop]:
    """Stores rows as `store` does; a decoder crashes on one of them."""
    with writing_container(stem.with_suffix(".tar"), f"extract/{stem.name}.tar") as container:
        for row in rows:
            if row.file == "000017.jpg":
                os.kill(os.getpid(), signal.SIGSEGV)
            yield manifest.extend(row, Photograph, photograph=container.add(row.file, row.file.encode()))


@dataclass(frozen=True)
class Poisoned:
    """Writes the rows of a chunk; `poison` are those with which a worker dies, `calls` counts the executions."""

    poison: frozenset[int]
    calls: Path
    too_much: int = 1000

    def __call__(self, chunk: Chunk, folder: Path) -> None:
        (self.calls / f"{chunk.start}-{chunk.stop}-{secrets.token_hex(4)}").touch()
        rows = [row for row in range(chunk.start, chunk.stop) if row not in chunk.killers]
        (folder / f"{chunk.name}.json").write_text(json.dumps([rows, sorted(chunk.killers)]))
        if self.poison & {*rows} or len(rows) > self.too_much:
            os.kill(os.getpid(), signal.SIGKILL)
        manifest.write_rows(folder / chunks.TABLE, Photograph, [])
        assert "pandas" not in sys.modules, "it would take a worker a quarter of a second and 50 MiB"


def write(chunk: Chunk, folder: Path) -> None:
    (folder / f"{chunk.name}.txt").write_text(str(Path.cwd()))
    manifest.write_rows(folder / chunks.TABLE, Photograph, [])


def write_with(value: str, chunk: Chunk, folder: Path) -> None:
    assert value
    write(chunk, folder)


def wait(chunk: Chunk, folder: Path) -> None:
    time.sleep(1.0)
    write(chunk, folder)
