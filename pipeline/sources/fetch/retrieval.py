"""One file from the first URL that has it: attempts with waits between them, and verification before the rename."""

import random
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.errors import FetchError
from pipeline.sources.fetch import content
from pipeline.sources.fetch.mirrors import Action, MirrorError, without_credentials
from pipeline.sources.fetch.partial import PartialFile
from pipeline.sources.fetch.transfer import Transfer
from pipeline.sources.published import PublishedFile, Source

_CORRUPT_REMEDY = "If every URL gives the same bytes, the manifest may be wrong: compare it with the publisher's page."


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long one URL is tried; the waits are an exponential back-off, half of each is random."""

    attempts: int  # failed ones in a row; one that adds bytes does not count as failed
    timeout_seconds: float  # for the connection, and for the time without a byte
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 120.0
    longest_retry_after_seconds: float = 600.0  # a server that asks for a longer wait is not tried again

    def wait_seconds(self, failures: int, retry_after: float) -> float:
        """The wait after so many failures in a row, at least `retry_after` seconds."""
        backoff = min(self.first_wait_seconds * 2.0 ** max(failures - 1, 0), self.longest_wait_seconds)
        return max(backoff * (0.5 + 0.5 * random.random()), retry_after)


@dataclass(frozen=True)
class Retrieval:
    """Fetches one file into its partial file, verifies it, and gives it its final name; `stop` cancels it."""

    manifest: Source
    file: PublishedFile
    partial: PartialFile
    policy: RetryPolicy
    stop: threading.Event

    def run(self, urls: Sequence[str]) -> str:
        """Try the URLs in order, but first the one that the partial file came from; return the URL that had the file.

        Raises `FetchError` if none had it; the message lists each URL with its cause.
        """
        transfer = Transfer(self.file, self.partial, self.policy.timeout_seconds, self.stop)
        errors: dict[str, MirrorError] = {}
        for url in sorted(urls, key=transfer.resumable_bytes, reverse=True):
            error = self._try(url, transfer)
            if error is None:
                self.partial.finish()
                return without_credentials(url) if self.partial.origin is None else self.partial.origin.url
            errors[url] = error
        causes = [f"  {url}: {errors[url].cause}" for url in urls] or ["  no URL is known or allowed"]
        remedies = dict.fromkeys(error.remedy for error in errors.values() if error.remedy)
        kept = f" (the {self.partial.size} bytes received so far are kept)" if self.partial.size else ""
        last = (
            f"Run this again later{kept}, or add a mirror to network.mirrors, or download the file by hand and set "
            f"network.local to its folder."
        )
        lines = [f"{self.manifest.name}/{self.file.path}: not fetched.", *causes, " ".join([*remedies, last])]
        raise FetchError(without_credentials("\n".join(lines)))

    def _try(self, url: str, transfer: Transfer) -> MirrorError | None:
        """Fill the partial file from one URL; return the last error if that failed."""
        failures, corrupt, most = 0, False, transfer.resumable_bytes(url)
        while True:
            try:
                transfer.run(url)
                self._verify()
                return None
            except MirrorError as caught:
                error = caught
            if error.action in (Action.RESTART, Action.CORRUPT):
                self.partial.restart(None)
            if error.action is Action.NEXT_URL or (error.action is Action.CORRUPT and corrupt):
                return error
            if error.retry_after > self.policy.longest_retry_after_seconds:
                until = datetime.now(UTC) + timedelta(seconds=error.retry_after)
                cause = f"{error.cause}; Retry-After is {error.retry_after:.0f} seconds"
                return MirrorError(cause, Action.NEXT_URL, f"Run this again after {until:%Y-%m-%d %H:%M} UTC.")
            if error.action is Action.CORRUPT:
                corrupt, most = True, 0
            failures += 1
            received = transfer.resumable_bytes(url)
            if received > most:  # more than ever before: progress after a restart alone does not count
                most, failures = received, 0
            if failures >= self.policy.attempts:
                return error
            if self.stop.wait(self.policy.wait_seconds(failures, error.retry_after)):
                raise CancelledError

    def _verify(self) -> None:
        """Raise `MirrorError` unless the partial file is the published one, as far as is known."""
        problem = content.problem(self.partial.path, self.file, self.manifest, self.partial.digests())
        origin = self.partial.origin
        length_known = self.file.bytes is not None or (origin is not None and origin.total is not None)
        if problem is None and not (self.file.hashes or length_known or content.has_checksums(self.file.name)):
            problem = "neither the manifest nor the server states its length, so it may be incomplete"
        if problem is not None:
            raise MirrorError(f"the answer is not the file: {problem}", Action.CORRUPT, _CORRUPT_REMEDY)
