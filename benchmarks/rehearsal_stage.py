"""One stage of a rehearsal in the current folder: `python -m benchmarks.rehearsal_stage NAME`.

Its photographs are drawn as `varied` does. It loads what the stage itself loads, so that its memory is the stage's.
"""

import json
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import chunks
from pipeline.demo import faults
from pipeline.demo.portrait import Item
from pipeline.params import SyntheticSource
from stages import main

DRAWN = 256
SECONDS = ".seconds"


_good, _run_chunks = faults.good, chunks.run_chunks
_drawn: dict[int, Item] = {}


def varied(source: SyntheticSource, number: int) -> Item:
    """Photograph `number` (from 1): one of `DRAWN` with another comment and landmarks moved by a pixel at most."""
    first = number % DRAWN + 1
    if first not in _drawn:
        _drawn[first] = _good(source, first)
    item = _drawn[first]
    assert item.content is not None
    assert item.landmarks is not None
    text = f"photograph {number}".encode()
    comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
    moves = np.random.default_rng([source.seed, number]).integers(-1, 2, len(item.landmarks))
    landmarks = tuple(int(value) for value in np.add(item.landmarks, moves))
    return Item(item.content[:2] + comment + item.content[2:], landmarks, item.attributes)


class _Timed:
    """`chunks.run_chunks`, and the seconds of the clock that all its calls took."""

    seconds = 0.0

    def __call__(self, *arguments: Any) -> Sequence[Path]:
        started = time.monotonic()
        tables = _run_chunks(*arguments)
        self.seconds += time.monotonic() - started
        return tables


def run(name: str) -> None:
    """Run a stage; leave the seconds of the clock of its chunks, from the first task to the last one's end.

    And the processor seconds of its own thread, in which it works while no worker does.
    """
    faults.good = varied
    chunks.run_chunks = timed = _Timed()
    getattr(import_module(f"stages.{name}"), name)()
    Path(f"{name}{SECONDS}").write_text(json.dumps({"serial": time.thread_time(), "chunks": timed.seconds}))


if __name__ == "__main__":
    main(run)
