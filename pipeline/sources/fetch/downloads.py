"""The folder of downloads: verified files under their published names, fetched where they are missing.

It lies outside the stages' work folders, and its paths (`<manifest>/<published path>`) depend on nothing else, so that
changes of params or code keep all files. Stages take the files out as hard links.
"""

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline import atomic
from pipeline.errors import FetchError, SourceError
from pipeline.params import NetworkParams
from pipeline.progress import Progress, note, progress
from pipeline.sources import local
from pipeline.sources.fetch import content
from pipeline.sources.fetch.mirrors import urls_of
from pipeline.sources.fetch.partial import PartialFile, check_free_space, disk_errors, size_of
from pipeline.sources.fetch.retrieval import Retrieval, RetryPolicy
from pipeline.sources.fetch.terms import Acceptance
from pipeline.sources.published import Fact, PublishedFile, Source, digests


class Receipt(Fact):
    """What a verified file is and where it came from; valid while size and modification time are the same."""

    bytes: int
    mtime_ns: int
    hashes: dict[str, str]
    origin: str


class Downloads:
    """Published files, which are fetched to `folder` on first use; `policy` is for tests, and else from `network`."""

    def __init__(
        self, folder: Path, network: NetworkParams, acceptance: Acceptance, policy: RetryPolicy | None = None
    ) -> None:
        self._folder = folder
        self._network = network
        self._acceptance = acceptance
        self._policy = policy or RetryPolicy(network.attempts, network.timeout_seconds)
        self._accepted: dict[str, Any] = {}
        self._fetched: dict[str, Any] = {}

    @property
    def record(self) -> dict[str, Any]:
        """For the record of the run: accepted terms, and each file with hashes and origin; empty without files."""
        return {"accepted": self._accepted, "fetched": self._fetched} if self._fetched else {}

    def demand(self, manifest: Source, files: Sequence[PublishedFile]) -> None:
        """Raise `TermsError` unless the user accepted all that these files need."""
        self._accepted[manifest.name] = self._acceptance.demand(manifest, files)

    def fetch(self, manifest: Source, files: Sequence[PublishedFile]) -> list[Path]:
        """The verified files, in the given order. Missing ones are linked from `network.local`, or fetched.

        Raises the error of `demand`; `FetchError` with the cause at every URL if a file cannot be fetched, whose
        received bytes are kept; `SourceError` if a copy in `network.local` is not the published file.
        """
        self.demand(manifest, files)
        atomic.sweep_abandoned(self._folder / manifest.name)
        receipts = {file: self._receipt(manifest, file) or self._link_local(manifest, file) for file in files}
        missing = [file for file, receipt in receipts.items() if receipt is None]
        if missing and self._network.offline:
            paths = "\n  ".join(_label(manifest, file) for file in missing)
            raise FetchError(
                f"network.offline is true, but {len(missing)} file(s) of {manifest.dataset} are missing:\n  {paths}\n"
                f"Put them below network.local, or set network.offline to false."
            )
        if missing:
            receipts |= self._fetch_missing(manifest, missing)
        for file, receipt in receipts.items():
            if receipt is not None:
                self._fetched[_label(manifest, file)] = receipt.model_dump(exclude={"mtime_ns"})
        return [self._target(manifest, file) for file in files]

    def _target(self, manifest: Source, file: PublishedFile) -> Path:
        return self._folder / manifest.name / file.path

    def _fetch_missing(self, manifest: Source, files: Sequence[PublishedFile]) -> dict[PublishedFile, Receipt]:
        """Fetch files in parallel. One that fails does not stop the others; all failures are raised together."""
        received = {file: size_of(self._target(manifest, file)) for file in files}
        missing = sum(max(file.bytes - received[file], 0) for file in files if file.bytes is not None)
        with disk_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            check_free_space(self._folder, manifest.dataset, missing)
        here = sum(received.values())
        bar = progress(desc=manifest.dataset, total=here + missing or None, initial=here, unit="B", bytes_=True)
        stop = threading.Event()
        receipts: dict[PublishedFile, Receipt] = {}
        errors: list[str] = []
        pool = ThreadPoolExecutor(self._network.connections, thread_name_prefix="fetch")
        try:
            tasks = {pool.submit(self._fetch_one, manifest, file, bar, stop): file for file in files}
            for task in as_completed(tasks):
                try:
                    receipts[tasks[task]] = task.result()
                except FetchError as error:
                    errors.append(str(error))
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            bar.close()
        if errors:
            raise FetchError("\n".join(sorted(errors)))
        return receipts

    def _fetch_one(self, manifest: Source, file: PublishedFile, bar: Progress, stop: threading.Event) -> Receipt:
        target = self._target(manifest, file)

        def show(change: int) -> None:
            with bar.get_lock():
                bar.update(change)

        with disk_errors(target), PartialFile(target, _algorithms(file), show) as partial:
            if (found := self._receipt(manifest, file)) is not None:  # another process fetched it meanwhile
                partial.remove()
                return found
            retrieval = Retrieval(manifest, file, partial, self._policy, stop)
            origin = retrieval.run(urls_of(manifest, file, self._network.mirrors))
            note(f"fetched {_label(manifest, file)}: {partial.size} bytes from {origin}")
            return _write_receipt(target, partial.digests(), origin)

    def _link_local(self, manifest: Source, file: PublishedFile) -> Receipt | None:
        """Link the user's copy, if there is one. It is verified under a temporary name."""
        root = self._network.local
        if root is None:
            return None
        candidates = (root / manifest.name / file.path, root / file.path, root / file.name)
        copy = next((path for path in candidates if path.is_file()), None)
        if copy is None:
            return None
        target = self._target(manifest, file)
        temporary = target.with_name(f"{target.name}.imported")
        with disk_errors(target), PartialFile(target, ()) as partial:  # holds the lock, so that no process fetches it
            local.link_or_copy(copy, temporary)
            hashes = digests(temporary, _algorithms(file))
            problem = content.problem(temporary, file, manifest, hashes)
            if problem is not None:
                temporary.unlink()
                raise SourceError(f"{copy}: {problem}. Remove it from network.local, or fetch it again.")
            temporary.replace(target)
            partial.remove()
            return _write_receipt(target, hashes, str(copy.resolve()))

    def _receipt(self, manifest: Source, file: PublishedFile) -> Receipt | None:
        """The receipt of the file, which is verified if it has none; None if there is no such file.

        A file that is not the published one is renamed to `NAME.refused`, never deleted: it may be the only copy.
        """
        target = self._target(manifest, file)
        with disk_errors(target):
            if not target.is_file():
                return None
            receipt = _read_receipt(target, file)
            hashes = digests(target, _algorithms(file)) if receipt is None else receipt.hashes
            # with a receipt the checksums were right; the manifest may have listed the members later
            problem = content.problem(target, file, manifest, hashes, checksums=receipt is None)
            if problem is not None:
                names = (target.with_name(f"{target.name}.refused{number or ''}") for number in itertools.count())
                refused = next(name for name in names if not name.exists())
                _receipt_path(target).unlink(missing_ok=True)
                target.rename(refused)
                note(f"{target}: {problem}. It is not used; it was renamed to {refused.name}.")
                return None
            return receipt or _write_receipt(target, hashes, "found in the folder of downloads")


def _label(manifest: Source, file: PublishedFile) -> str:
    return f"{manifest.name}/{file.path}"


def _algorithms(file: PublishedFile) -> tuple[str, ...]:
    """The published hashes; SHA-256 for the record if there are none."""
    return tuple(file.hashes) or ("sha256",)


def _receipt_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.receipt.json")


def _read_receipt(target: Path, file: PublishedFile) -> Receipt | None:
    """The receipt of `target`; None if the file changed since, or if a published hash is not in it."""
    try:
        receipt = Receipt.model_validate_json(_receipt_path(target).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    stat = target.stat()
    unchanged = (receipt.bytes, receipt.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    return receipt if unchanged and set(file.hashes) <= set(receipt.hashes) else None


def _write_receipt(target: Path, hashes: dict[str, str], origin: str) -> Receipt:
    stat = target.stat()
    receipt = Receipt(bytes=stat.st_size, mtime_ns=stat.st_mtime_ns, hashes=hashes, origin=origin)
    atomic.write_json(_receipt_path(target), receipt.model_dump())
    return receipt
