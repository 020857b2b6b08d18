"""What a scheduler holds of the work on a chunk: rows, and the name of a file.

dask's scheduler loads the modules of the tasks that it passes on, and keeps the last thousand messages to each worker
with the tasks in them. So this module loads none of our libraries, and the function that a task calls, which has params
and up to megabytes of arguments, lies in a file in the folder of the chunks.
"""

import secrets
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows `start`...`stop` of the input; the names of its files start with `name`.

    `killers` are those of them that killed their worker: they are dropped without being read.
    """

    name: str
    start: int
    stop: int
    killers: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Task:
    """A chunk to work on, or with `probe` a part of one that is only run to see whether it kills the worker."""

    chunk: Chunk
    probe: bool = False
    tag: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def prefix(self) -> str:
        """How the names of the folders of its executions begin."""
        return f"{self.chunk.name}-{self.tag}"


def execute(task: Task, call: Path) -> None:
    """Do the task, in a worker; see `workers.write_call`."""
    from pipeline import chunks  # noqa: PLC0415 (the scheduler does without)

    chunks.execute(task, call)
