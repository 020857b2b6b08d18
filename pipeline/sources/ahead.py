"""A stream that works ahead of its reader, in a thread: libraries that unpack let go of Python's lock."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import Queue
from threading import Event
from typing import TypeVar

DEPTH = 8
"""Items that wait for the reader; with the largest item this bounds memory."""

Item = TypeVar("Item")


def ahead(items: Generator[Item]) -> Generator[Item]:
    """The same items, made in a thread while the reader uses those before; an error comes after the last good one.

    A reader that stops early closes `items`, in the thread that runs it.
    """
    queue: Queue[tuple[Item] | None] = Queue(DEPTH)
    abandoned = Event()

    def run() -> None:
        try:
            with closing(items):
                _fill(queue, items, abandoned)
        finally:
            queue.put(None)

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        future = thread.submit(run)
        running = True
        try:
            while (item := queue.get()) is not None:
                yield item[0]
            running = False
            future.result()
        finally:
            abandoned.set()
            while running:
                running = queue.get() is not None


def _fill(queue: Queue[tuple[Item] | None], items: Iterator[Item], abandoned: Event) -> None:
    for item in items:
        if abandoned.is_set():
            return
        queue.put((item,))
