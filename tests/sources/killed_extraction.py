"""Kills an extraction with SIGKILL at given moments of its progress, one after the other, then lets it finish.

`python killed_extraction.py DOWNLOAD CONTENTS WORK MOMENT...`: a moment counts members read, files flushed and files
renamed since the start of that run. Each run is a fork of one process, so that thirty take seconds.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.sources import extraction
from pipeline.sources.source import Contents


class Moments:
    """Counts; at the last one the process kills itself."""

    def __init__(self, last: int) -> None:
        self._left = last

    def pass_one(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.pass_one()
            return function(*arguments, **named)

        return counted


def run(download: Path, contents: Contents, work: Path, moment: int | None) -> int:
    """Extract in a fork, killed at `moment`; return how the fork ended, as `os.waitpid` returns it."""
    child = os.fork()
    if child == 0:
        if moment is not None:
            moments = Moments(moment)
            os.fsync = moments.before(os.fsync)
            Path.replace = moments.before(Path.replace)  # type: ignore[method-assign]
            extraction.check_picture = moments.before(extraction.check_picture)
        extraction.extract(download, contents, 5, work, max_dropped=1.0)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main(download: str, contents: str, work: str, *moments: str) -> None:
    source = Contents.model_validate_json(contents)
    Path(work).mkdir(parents=True)
    parts: list[int] = []
    for moment in moments:
        status = run(Path(download), source, Path(work), int(moment))
        assert os.WIFSIGNALED(status), f"moment {moment}: the extraction ended first"
        parts.append(len(list(Path(work).glob("*.part.parquet"))))
    assert run(Path(download), source, Path(work), None) == 0
    print(json.dumps(parts))


if __name__ == "__main__":
    main(*sys.argv[1:])
