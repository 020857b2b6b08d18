"""One file from the first of its places that has it: attempts, waits between them, and the check before the rename."""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.errors import FetchError
from pipeline.sources.fetch import content
from pipeline.sources.fetch.download_errors import Next, PlaceError
from pipeline.sources.fetch.mirrors import Place, without_credentials
from pipeline.sources.fetch.partial import Partial
from pipeline.sources.fetch.transfer import StoppedError, Transfer
from pipeline.sources.published import PublishedFile, Source

STEP_BYTES = 1 << 20
"""Attempts that bring at least so much (of a small file: a 64th) are progress, and do not count as failed."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a place is tried.

    Attributes
    ----------
    attempts
        Failed ones in a row, at one place, that brought nothing; and beginnings there from the first byte.
    timeout_seconds
        No byte for so long is a stall.
    first_wait_seconds, longest_wait_seconds
        The wait after the first failed attempt, and the limit to which it doubles. Half of it is drawn at random.
    longest_asked_seconds
        A place that asks to be left alone for longer is given up.
    """

    attempts: int
    timeout_seconds: float
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 120.0
    longest_asked_seconds: float = 600.0

    def wait_seconds(self, failures: int, asked_seconds: float) -> float:
        """How long to wait after so many failures in a row, where the place asked to be left alone for so long."""
        doubled = min(self.first_wait_seconds * 2.0 ** max(failures - 1, 0), self.longest_wait_seconds)
        jittered = doubled * (0.5 + 0.5 * random.random())
        return max(jittered, asked_seconds)


@dataclass(frozen=True)
class Retrieval:
    """Brings one file under its final name, or says why no place gave it.

    Parameters
    ----------
    source, file
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

    source: Source
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
                # bytes that were all here before this run came from where they were begun
                return place.address if partial.origin is None else partial.origin.url
            faults.append((place, fault))
        causes = [f"  {place.address}: {fault.cause}" for place, fault in faults] or ["  no place is known or allowed"]
        remedies = list(dict.fromkeys(fault.remedy for _, fault in faults if fault.remedy))
        kept = f" (the {partial.size} bytes that are here are kept)" if partial.size else ""
        remedies.append(_ANY_REMEDY.format(kept=kept))
        raise FetchError(without_credentials("\n".join([f"{self.label}: not fetched.", *causes, " ".join(remedies)])))

    def _from(self, place: Place, partial: Partial) -> PlaceError | None:
        """Fill `partial` from one place; the last fault where that one does not give it."""
        failures = corrupt = restarts = 0
        before = counted = partial.size
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
                if fault.wait_seconds > self.patience.longest_asked_seconds:
                    return _given_up(fault)
                if fault.then is Next.CORRUPT:
                    partial.discard()
                    self.arrived(0)
                    corrupt += 1
                    if corrupt > 1:
                        return fault
                if partial.size < before:  # counted on their own: a place could bring the same first half for ever
                    restarts += 1
                    counted = partial.size
                before = partial.size
                failures += 1
                if partial.size - counted >= self._step(partial):
                    counted = partial.size
                    failures = 0
                if max(failures, restarts) >= self.patience.attempts:
                    return fault
                afresh = fault.then is Next.AFRESH
                wait = self.patience.wait_seconds(failures, fault.wait_seconds)
            if self.stop.wait(wait):
                raise StoppedError

    def _step(self, partial: Partial) -> int:
        total = self.file.bytes or (partial.origin.total if partial.origin is not None else None)
        return STEP_BYTES if total is None else max(min(STEP_BYTES, total // 64), 1)

    def _verify(self, partial: Partial) -> None:
        fault = self.file.fault(partial.size, partial.digests())
        if fault is None and not self.file.hashes:
            fault = self._fault_of_unhashed(partial)
        if fault is not None:
            raise PlaceError(f"what came is not the file: {fault}", Next.CORRUPT, remedy=_CORRUPT_REMEDY)

    def _fault_of_unhashed(self, partial: Partial) -> str | None:
        if content.tells_damage(self.file.name):
            return content.fault_inside(partial.path, self.file.name, self.source)
        if self.file.bytes is None and (partial.origin is None or partial.origin.total is None):
            return "neither the manifest nor the server states its length, so nothing tells whether it is whole"
        return None


def _given_up(fault: PlaceError) -> PlaceError:
    until = datetime.now(UTC) + timedelta(seconds=fault.wait_seconds)
    return PlaceError(
        f"{fault.cause}; it asks to be left alone for {fault.wait_seconds:.0f} seconds",
        Next.ELSEWHERE,
        remedy=f"Run this again after {until:%Y-%m-%d %H:%M} UTC.",
    )


_ANY_REMEDY = (
    "Run this again later{kept}; or add a mirror to network.mirrors; or fetch it by hand and name its "
    "folder in network.local."
)
_CORRUPT_REMEDY = "If every place gives the same bytes, the manifest may be wrong: compare with the publisher's page."
