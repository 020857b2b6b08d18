"""The folder of downloads: verified files under their published names, fetched where they are missing.

It lies outside the stages' work folders and is keyed by what a file is (`<manifest>/<published path>`), so no change of
params or code loses a byte of it. Stages take the files out as hard links.
"""

import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import atomic
from pipeline.errors import FetchError
from pipeline.params import NetworkParams
from pipeline.sources import local
from pipeline.sources.fetch import content, partial
from pipeline.sources.fetch.partial import Partial
from pipeline.sources.fetch.places import places_of
from pipeline.sources.fetch.progress import Progress
from pipeline.sources.fetch.retrieve import Patience, Retrieval
from pipeline.sources.fetch.terms import Acceptance
from pipeline.sources.fetch.transfer import StoppedError
from pipeline.sources.published import PublishedFile, Source, digests

RECORDED = ("sha256",)
"""What is computed of a file of which no hash is published."""


class Receipt(BaseModel):
    """What a verified file was, and where it came from; holds as long as its size and time of change do."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    bytes: int
    mtime_ns: int
    hashes: dict[str, str]
    origin: str


class Downloads:
    """Published files, here or fetched.

    Parameters
    ----------
    folder
        Where they are kept.
    network
        How they are fetched.
    acceptance
        What the user accepted; nothing is taken or fetched without.
    patience
        How long a place is tried; None takes it from `network`.
    """

    def __init__(
        self, folder: Path, network: NetworkParams, acceptance: Acceptance, patience: Patience | None = None
    ) -> None:
        self._folder = folder
        self._network = network
        self._acceptance = acceptance
        self._patience = patience or Patience(network.attempts, network.timeout_seconds)
        self._accepted: dict[str, Any] = {}
        self._delivered: dict[str, Any] = {}

    @property
    def record(self) -> dict[str, Any]:
        """For the record of the run: accepted terms, and every file with its hashes and origin; empty where no file."""
        return {"accepted": self._accepted, "fetched": self._delivered} if self._delivered else {}

    def demand(self, source: Source, files: Sequence[PublishedFile]) -> None:
        """Raise `TermsError` unless all is accepted that these files need."""
        self._accepted[source.name] = self._acceptance.demand(source, files)

    def fetch(self, source: Source, files: Sequence[PublishedFile]) -> list[Path]:
        """The verified files, in the order given; what is missing is imported from `network.local` or fetched.

        Raises
        ------
        TermsError
            Terms, or files without a published hash, are not accepted.
        FetchError
            A file cannot be had; the message names each with every place's cause and the remedy. What was fetched
            stays, and the next call goes on from there.
        SourceError
            A copy in `network.local` is not the published file.
        """
        self.demand(source, files)
        missing = [file for file in files if self._receipt(source, file) is None and not self._import(source, file)]
        if missing and self._network.offline:
            places = "\n  ".join(f"{source.name}/{file.path}" for file in missing)
            raise FetchError(
                f"network.offline is true, and {len(missing)} file(s) of {source.dataset} are not here:\n  {places}\n"
                f"Put them below network.local, or set network.offline to false."
            )
        if missing:
            self._fetch_all(source, missing)
        for file in files:
            receipt = self._receipt(source, file)
            assert receipt is not None  # each was here, imported or fetched
            self._delivered[f"{source.name}/{file.path}"] = receipt.model_dump(exclude={"mtime_ns"})
        return [self._target(source, file) for file in files]

    def _target(self, source: Source, file: PublishedFile) -> Path:
        return self._folder / source.name / file.path

    def _fetch_all(self, source: Source, files: Sequence[PublishedFile]) -> None:
        here = {file: partial.size_of(self._target(source, file)) for file in files}
        known = [file for file in files if file.bytes is not None]
        self._room(source.dataset, sum((file.bytes or 0) - here[file] for file in known))
        progress = Progress(
            source.dataset, total=sum(file.bytes or 0 for file in known), here=sum(here[file] for file in known)
        )
        stop = threading.Event()
        errors: list[FetchError] = []
        pool = ThreadPoolExecutor(self._network.connections, thread_name_prefix="fetch")
        try:
            for done in as_completed([pool.submit(self._fetch_one, source, file, progress, stop) for file in files]):
                try:
                    done.result()
                except FetchError as error:  # the other files go on: what they bring is kept
                    errors.append(error)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            progress.close()
        if errors:
            raise FetchError("\n".join(sorted(map(str, errors))))

    def _fetch_one(self, source: Source, file: PublishedFile, progress: Progress, stop: threading.Event) -> None:
        target = self._target(source, file)
        label = f"{source.name}/{file.path}"
        algorithms = tuple(file.hashes) or RECORDED
        with (
            Partial(target, algorithms) as here,
            progress.file(file.name, file.bytes, here.size) as arrived,
        ):
            if self._receipt(source, file) is not None:  # another process was faster
                here.abandon()
                return
            retrieval = Retrieval(
                file=file,
                label=label,
                places=places_of(source, file, self._network.mirrors),
                patience=self._patience,
                stop=stop,
                arrived=arrived,
                room=lambda missing: self._room(label, missing),
            )
            try:
                origin = retrieval.into(here)
            except StoppedError:
                return
            self._sign(target, here.digests(), origin)
            progress.say(f"fetched {label}: {here.size} bytes from {origin}")

    def _import(self, source: Source, file: PublishedFile) -> bool:
        """Link the user's own copy, if there is one; its bytes are checked like fetched ones."""
        if self._network.local is None:
            return False
        root = self._network.local
        for copy in (root / source.name / file.path, root / file.path, root / file.name):
            if copy.is_file():
                file.check(copy)
                fault = None if file.hashes else content.damage(copy, file.name)
                if fault is not None:
                    raise FetchError(f"{copy}: {fault}. Remove it or fetch it again; it lies in network.local.")
                target = self._target(source, file)
                partial.forget(target)
                local.lay_down(copy, target)
                self._sign(target, digests(target, tuple(file.hashes) or RECORDED), str(copy.resolve()))
                return True
        return False

    def _receipt(self, source: Source, file: PublishedFile) -> Receipt | None:
        """What is known of the file that is here; None where none is, or not the published one."""
        target = self._target(source, file)
        if not target.is_file():
            return None
        stat = target.stat()
        try:
            receipt = Receipt.model_validate_json(_receipt_path(target).read_bytes())
        except (FileNotFoundError, ValidationError):
            receipt = None
        unchanged = receipt is not None and (receipt.bytes, receipt.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
        if receipt is not None and unchanged and set(file.hashes) <= set(receipt.hashes):
            found = receipt.hashes
        else:
            found = digests(target, tuple(file.hashes) or RECORDED)
            receipt = None
        fault = file.fault(stat.st_size, found)
        if fault is None and receipt is None and not file.hashes:
            fault = content.damage(target, file.name)
        if fault is not None:
            target.unlink()
            _receipt_path(target).unlink(missing_ok=True)
            return None
        return receipt or self._sign(target, found, "found in the folder of downloads")

    def _sign(self, target: Path, hashes: dict[str, str], origin: str) -> Receipt:
        stat = target.stat()
        receipt = Receipt(bytes=stat.st_size, mtime_ns=stat.st_mtime_ns, hashes=hashes, origin=origin)
        atomic.write_json(_receipt_path(target), receipt.model_dump())
        return receipt

    def _room(self, what: str, missing: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        if missing > free:
            raise FetchError(
                f"{what}: {missing} bytes are still to come, but {self._folder.resolve()} has {free} free. Make room, "
                f"or make that folder a link to a larger disk."
            )


def _receipt_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.receipt.json")
