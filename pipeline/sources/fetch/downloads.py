"""The folder of downloads: verified files under their published names, fetched where they are missing.

It lies outside the stages' work folders and is keyed by what a file is (`<manifest>/<published path>`), so no change of
params or code loses a byte of it. Stages take the files out as hard links.
"""

import itertools
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from pipeline import atomic
from pipeline.errors import FetchError, SourceError
from pipeline.params import NetworkParams
from pipeline.sources import local
from pipeline.sources.fetch import content, partial
from pipeline.sources.fetch.free_space import Room
from pipeline.sources.fetch.mirrors import places_of
from pipeline.sources.fetch.partial import Partial, naming_disk_faults
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
        missing = [file for file in files if not self._is_here(source, file)]
        if missing and self._network.offline:
            places = "\n  ".join(_label(source, file) for file in missing)
            raise FetchError(
                f"network.offline is true, and {len(missing)} file(s) of {source.dataset} are not here:\n  {places}\n"
                f"Put them below network.local, or set network.offline to false."
            )
        if missing:
            self._fetch_all(source, missing)
        for file in files:
            receipt = self._receipt(source, file)
            if receipt is None:
                raise FetchError(f"{self._target(source, file)}: it was verified, and changed since. Run this again.")
            self._delivered[_label(source, file)] = receipt.model_dump(exclude={"mtime_ns"})
        return [self._target(source, file) for file in files]

    def _target(self, source: Source, file: PublishedFile) -> Path:
        return self._folder / source.name / file.path

    def _fetch_all(self, source: Source, files: Sequence[PublishedFile]) -> None:
        sizes = {
            _label(source, file): (file.bytes, partial.size_of(self._target(source, file)))
            for file in files
            if file.bytes is not None
        }
        with naming_disk_faults(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            room = Room(self._folder)
            room.reserve(source.dataset, sizes)
        progress = Progress(
            source.dataset,
            total=sum(total for total, _ in sizes.values()),
            here=sum(here for _, here in sizes.values()),
        )
        stop = threading.Event()
        errors: list[FetchError] = []
        pool = ThreadPoolExecutor(self._network.connections, thread_name_prefix="fetch")
        try:
            tasks = [pool.submit(self._fetch_one, source, file, progress, room, stop) for file in files]
            for done in as_completed(tasks):
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

    def _fetch_one(
        self, source: Source, file: PublishedFile, progress: Progress, room: Room, stop: threading.Event
    ) -> None:
        target = self._target(source, file)
        label = _label(source, file)
        with (
            naming_disk_faults(target),
            Partial(target, tuple(file.hashes) or RECORDED) as here,
            progress.file(file.name, file.bytes, here.size) as shown,
        ):
            if self._receipt(source, file) is not None:  # another process was faster
                here.abandon()
                return

            def arrived(size: int) -> None:
                shown(size)
                room.arrived(label, size)

            retrieval = Retrieval(
                source=source,
                file=file,
                label=label,
                places=places_of(source, file, self._network.mirrors),
                patience=self._patience,
                stop=stop,
                arrived=arrived,
                room=lambda total: room.reserve(label, {label: (total, here.size)}),
            )
            try:
                origin = retrieval.into(here)
            except StoppedError:
                return
            finally:
                room.release(label)
            self._sign(target, here.digests(), origin)
            progress.say(f"fetched {label}: {here.size} bytes from {origin}")

    def _is_here(self, source: Source, file: PublishedFile) -> bool:
        with naming_disk_faults(self._target(source, file)):
            return self._receipt(source, file) is not None or self._import(source, file)

    def _import(self, source: Source, file: PublishedFile) -> bool:
        """Link the user's own copy, if there is one; its bytes are checked like fetched ones, under no final name."""
        if self._network.local is None:
            return False
        root = self._network.local
        places = (root / source.name / file.path, root / file.path, root / file.name)
        copy = next((place for place in places if place.is_file()), None)
        if copy is None:
            return False
        target = self._target(source, file)
        beside = target.with_name(f"{target.name}.imported")
        with Partial(target, ()) as here:  # while another process fetches it, nothing is imported
            local.link_or_copy(copy, beside)
            found = digests(beside, tuple(file.hashes) or RECORDED)
            fault = file.fault(beside.stat().st_size, found)
            if fault is None and not file.hashes:
                fault = content.fault_inside(beside, file.name, source)
            if fault is not None:
                beside.unlink()
                raise SourceError(f"{copy}: {fault}. Remove it or fetch it again; it lies in network.local.")
            beside.replace(target)
            self._sign(target, found, str(copy.resolve()))
            here.abandon()
        return True

    def _receipt(self, source: Source, file: PublishedFile) -> Receipt | None:
        """What is known of the file that is here; None where none is. One that is another is put aside."""
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
        if fault is None and not file.hashes:
            # what a manifest asks of an archive may be younger than the receipt, its sums are not
            look = content.fault_inside if receipt is None else content.misfit
            fault = look(target, file.name, source)
        if fault is not None:
            aside = _put_aside(target)
            tqdm.write(f"{target}: {fault}. It is not used, and lies in {aside.name} now.", file=sys.stderr)
            return None
        return receipt or self._sign(target, found, "found in the folder of downloads")

    def _sign(self, target: Path, hashes: dict[str, str], origin: str) -> Receipt:
        stat = target.stat()
        receipt = Receipt(bytes=stat.st_size, mtime_ns=stat.st_mtime_ns, hashes=hashes, origin=origin)
        atomic.write_json(_receipt_path(target), receipt.model_dump())
        return receipt


def _label(source: Source, file: PublishedFile) -> str:
    return f"{source.name}/{file.path}"


def _receipt_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.receipt.json")


def _put_aside(target: Path) -> Path:
    """Take a file's name away from it; nobody knows here whether its bytes are dear to the user."""
    names = (target.with_name(f"{target.name}.refused{number or ''}") for number in itertools.count())
    aside = next(name for name in names if not name.exists())
    _receipt_path(target).unlink(missing_ok=True)
    return target.rename(aside)
