"""One file from the first of its places that has it: attempts, waits between them, and the check before the rename."""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.errors import FetchError
from pipeline.sources.fetch import content
from pipeline.sources.fetch.faults import Next, PlaceError
from pipeline.sources.fetch.partial import Partial
from pipeline.sources.fetch.places import Place
from pipeline.sources.fetch.transfer import StoppedError, Transfer
from pipeline.sources.published import PublishedFile

STEP_BYTES = 1 << 20
"""Attempts that bring at least so much (of a small file: a 64th) are progress, and do not count as failed."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a place is tried.

    Attributes
    ----------
    attempts
        Failed ones in a row, at one place, that brought nothing.
    timeout_seconds
        No byte for so long is a stall.
    first_wait_seconds, longest_wait_seconds
        The wait after the first failed attempt, and the limit to which it doubles. Half of it is drawn at random.
    """

    attempts: int
    timeout_seconds: float
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 120.0

    def wait_seconds(self, failures: int, asked_seconds: float) -> float:
        """How long to wait after so many failures in a row, where the place asked to be left alone for so long."""
        doubled = min(self.first_wait_seconds * 2.0 ** max(failures - 1, 0), self.longest_wait_seconds)
        jittered = doubled * (0.5 + 0.5 * random.random())
        return max(jittered, min(asked_seconds, self.longest_wait_seconds))


@dataclass(frozen=True)
class Retrieval:
    """Brings one file under its final name, or says why no place gave it.

    Parameters
    ----------
    file
        What is published of it.
    label
        Its name in messages.
    places
        Where to ask, in order.
    stop
        Ends it early.
    arrived, room
        See `Transfer`.
    """

    file: PublishedFile
    label: str
    places: Sequence[Place]
    patience: Patience
    stop: threading.Event
    arrived: Callable[[int], None]
    room: Callable[[int], None]

    def into(self, partial: Partial) -> str:
        """Fill `partial`, verify it and give it its final name; return the address that it came from.

        Raises
        ------
        FetchError
            No place gave it; the message lists each with its cause.
        StoppedError
            `stop` was set.
        """
        faults: list[tuple[Place, PlaceError]] = []
        for place in self.places:
            fault = self._from(place, partial)
            if fault is None:
                partial.finish()
                return place.url
            faults.append((place, fault))
        causes = [f"  {place.url}: {fault.cause}" for place, fault in faults] or ["  no place is known or allowed"]
        remedies = list(dict.fromkeys(fault.remedy for _, fault in faults if fault.remedy))
        raise FetchError("\n".join([f"{self.label}: not fetched.", *causes, " ".join([*remedies, _ANY_REMEDY])]))

    def _from(self, place: Place, partial: Partial) -> PlaceError | None:
        """Fill `partial` from one place; the last fault where that one does not give it."""
        failures = corrupt = 0
        best = partial.size
        afresh = False
        transfer = Transfer(self.file, partial, self.patience.timeout_seconds, self.stop, self.arrived, self.room)
        while True:
            try:
                transfer.attempt(place, afresh=afresh)
                self._verify(partial)
                return None
            except PlaceError as fault:
                if fault.then is Next.ELSEWHERE:
                    return fault
                if fault.then is Next.CORRUPT:
                    partial.discard()
                    self.arrived(0)
                    corrupt += 1
                    if corrupt > 1:
                        return fault
                if partial.size - best >= self._step():
                    best = partial.size
                    failures = 0
                else:
                    failures += 1
                if failures >= self.patience.attempts:
                    return fault
                afresh = fault.then is Next.AFRESH
                wait = self.patience.wait_seconds(failures, fault.wait_seconds)
            if self.stop.wait(wait):
                raise StoppedError

    def _step(self) -> int:
        return STEP_BYTES if self.file.bytes is None else max(min(STEP_BYTES, self.file.bytes // 64), 1)

    def _verify(self, partial: Partial) -> None:
        fault = self.file.fault(partial.size, partial.digests())
        if fault is None and not self.file.hashes:
            fault = self._fault_of_unhashed(partial)
        if fault is not None:
            raise PlaceError(f"what came is not the file: {fault}", Next.CORRUPT, remedy=_CORRUPT_REMEDY)

    def _fault_of_unhashed(self, partial: Partial) -> str | None:
        if content.tells_damage(self.file.name):
            return content.damage(partial.path, self.file.name)
        if self.file.bytes is None and (partial.origin is None or partial.origin.total is None):
            return "neither the manifest nor the server states its length, so nothing tells whether it is whole"
        return None


_ANY_REMEDY = (
    "Run this again later (what is here is kept); or add a mirror to network.mirrors; or fetch it by hand and name its "
    "folder in network.local."
)
_CORRUPT_REMEDY = "If every place gives the same bytes, the manifest may be wrong: compare with the publisher's page."
