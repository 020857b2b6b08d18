"""A stream of members that is made ahead of its reader, in a thread: libraries that unpack let go of Python's lock."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import Queue
from threading import Event

DEPTH = 8
"""Batches that wait for the reader; with the size of a batch and the largest member this bounds memory."""

BATCH_BYTES = 1 << 18
"""Members are handed over in batches of about so many bytes: one by one, small ones would cost more than their work."""

MEMBER_BYTES = 256
"""What a member weighs in a batch beside its content."""

Unpacked = tuple[str, bytes]
"""A member's name and content."""

Put = Callable[[Unpacked], None]


def ahead(members: Generator[Unpacked]) -> Generator[Unpacked]:
    """The same members, made in a thread while the reader uses those before; an error comes after the last good one.

    A reader that stops early closes `members`, in the thread that runs it.
    """

    def produce(put: Put) -> None:
        with closing(members):
            for member in members:
                put(member)

    return pushed(produce)


def pushed(produce: Callable[[Put], None]) -> Generator[Unpacked]:
    """What `produce` hands to the function that it is given, in a thread; see `ahead`.

    That function raises, to end `produce`, once the reader has stopped.
    """
    queue: Queue[list[Unpacked] | None] = Queue(DEPTH)
    abandoned = Event()

    def run() -> None:
        batch: list[Unpacked] = []
        weight = 0

        def put(member: Unpacked) -> None:
            nonlocal batch, weight
            if abandoned.is_set():
                raise _AbandonedError
            batch.append(member)
            weight += len(member[1]) + MEMBER_BYTES
            if weight >= BATCH_BYTES:
                queue.put(batch)
                batch, weight = [], 0

        try:
            produce(put)
        finally:
            queue.put(batch)
            queue.put(None)

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        future = thread.submit(run)
        running = True
        try:
            while (batch := queue.get()) is not None:
                yield from batch
            running = False
            future.result()
        finally:
            abandoned.set()
            while running:
                running = queue.get() is not None


class _AbandonedError(Exception):
    """The reader wants no more members; ends the thread."""
