"""Hundreds of seeded schedules of faults: a run ends with the exact bytes, or with a complete error message.

`pytest tests/sources/fetch/test_schedules.py -s` prints the number of each outcome.
"""

import gzip
import io
import random
import zipfile
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faulty_server import KINDS, Fault, FaultyServer, Kind, spread
from fetching import HASTY, STEADY, downloads
from tiny_sources import DataSet, drive_id

from pipeline.errors import FetchError
from pipeline.sources.fetch.mirrors import PUBLISHED, urls_of
from pipeline.sources.published import Published

SCHEDULES = 240
GROUPS = 12
MIRRORS = 3
CHECKSUMMED = ("cifar10", "lsun", "mnist")
"""Their files have checksums of their own, so that they can also be fetched as if no hash were published."""
LASTING = ("404", "403", "416", "quota", "login", "page", "encoded", "204", "too long", "too short", "truncate", "loop")
"""Faults after which another attempt at the same mirror may fail, too."""
STALLING = ("stall", "silent")


@dataclass(frozen=True)
class Schedule:
    """The faults of each file at each mirror.

    Attributes
    ----------
    drive
        Whether the first mirror is Google Drive, with its virus-scan page before every answer.
    if_range
        Whether the servers respect If-Range.
    """

    dataset: DataSet
    faults: dict[str, list[list[Fault]]]
    validators: str
    drive: bool
    if_range: bool

    @classmethod
    def draw(cls, seed: int, datasets: dict[str, DataSet]) -> "Schedule":
        """Three of five are mild."""
        randomness = random.Random(seed)
        dataset = datasets[randomness.choice(sorted(datasets))]
        if dataset.published.name in CHECKSUMMED and randomness.random() < 0.5:
            dataset = _without_hashes(dataset)
        drive = randomness.random() < 0.4
        kinds = randomness.sample(KINDS, 8)
        first = [kind for kind in KINDS if _mends(kind, drive=drive)] if seed % 5 < 3 else kinds
        return cls(
            dataset,
            {
                path: [
                    _faults(randomness, first if mirror == 0 else kinds, STEADY.attempts - 1 if first != kinds else 6)
                    for mirror in range(randomness.randint(1, MIRRORS))
                ]
                for path in dataset.contents
            },
            randomness.choice(["etag", "date", "weak", "none"]),
            drive,
            if_range=randomness.random() < 0.7,
        )

    def published(self, server: FaultyServer) -> Published:
        return self.dataset.published.model_copy(update={"drive": f"{server.url}/download" if self.drive else None})

    def mirrors(self, server: FaultyServer) -> list[str]:
        first = PUBLISHED if self.drive else f"{server.url}/mirror0"
        return [first, *(f"{server.url}/mirror{mirror}" for mirror in range(1, MIRRORS))]

    def serve(self, server: FaultyServer, *, healed: bool = False) -> None:
        server.files.clear()
        for path, content in self.dataset.contents.items():
            for mirror, faults in enumerate(self.faults[path]):
                on_drive = self.drive and mirror == 0
                server.put(
                    f"/download?id={drive_id(path)}" if on_drive else f"/mirror{mirror}/{self._name}/{path}",
                    content,
                    *([] if healed else faults),
                    other=_other(content),
                    validators=self.validators,
                    if_range=self.if_range,
                    virus_scan=on_drive,
                )

    def stalls(self) -> bool:
        return any(fault.kind in STALLING for mirrors in self.faults.values() for faults in mirrors for fault in faults)

    def mild(self) -> bool:
        """Whether the first mirror of every file gives it in the end, in its one version."""
        return not self.stalls() and all(
            len(mirrors[0]) < STEADY.attempts
            and all(_mends(fault.kind, drive=self.drive) for fault in mirrors[0])
            # without a length half an archive is only known by its checksums, and is fetched only once more
            and (self.hashed() or sum(fault.kind == "no length" for fault in mirrors[0]) < 2)
            for mirrors in self.faults.values()
        )

    def hashed(self) -> bool:
        return all(file.hashes for file in self.dataset.published.files)

    def words(self) -> str:
        return "\n".join(f"{path}: {[spread(faults) for faults in mirrors]}" for path, mirrors in self.faults.items())

    @property
    def _name(self) -> str:
        return self.dataset.published.name


def _mends(kind: Kind, *, drive: bool) -> bool:
    """Whether another attempt at the same mirror succeeds. The virus-scan page counts for Google Drive only."""
    return kind not in (*LASTING, *STALLING, "change", "flip") and (drive or kind != "virus")


def _faults(randomness: random.Random, kinds: list[Kind], most: int) -> list[Fault]:
    count = randomness.choice([count for count in (0, 1, 2, 3, 6) if count <= most])
    return [Fault(randomness.choice(kinds), randomness.random()) for _ in range(count)]


def _without_hashes(data: DataSet) -> DataSet:
    unknown: dict[str, Any] = dict.fromkeys(("bytes", "md5", "sha1", "sha256"))
    files = tuple(file.model_copy(update=unknown) for file in data.published.files)
    return DataSet(data.published.model_copy(update={"files": files}), data.contents)


@pytest.fixture(scope="module")
def outcomes() -> Generator[Counter[str]]:
    counted: Counter[str] = Counter()
    yield counted
    print(f"\n{SCHEDULES} schedules: {dict(sorted(counted.items()))}")


def test_most_schedules_are_mild_and_every_combination_occurs(datasets: dict[str, DataSet]) -> None:
    schedules = [Schedule.draw(seed, datasets) for seed in range(SCHEDULES)]
    assert sum(schedule.mild() for schedule in schedules) > SCHEDULES / 2
    for mild in (True, False):
        for hashed in (True, False):
            for drive in (True, False):
                for if_range in (True, False):
                    kind = (mild, hashed, drive, if_range)
                    assert any((s.mild(), s.hashed(), s.drive, s.if_range) == kind for s in schedules), kind


@pytest.mark.parametrize("group", range(GROUPS))
def test_no_schedule_of_faults_leaves_a_wrong_file(
    group: int, datasets: dict[str, DataSet], server: FaultyServer, outcomes: Counter[str], tmp_path: Path
) -> None:
    for seed in range(group, SCHEDULES, GROUPS):
        schedule = Schedule.draw(seed, datasets)
        schedule.serve(server)
        folder = tmp_path / str(seed)
        published, mirrors = schedule.published(server), schedule.mirrors(server)
        policy = HASTY if schedule.stalls() else STEADY
        outcome = "exact"
        try:
            downloads(folder, *mirrors, policy=policy).fetch(published, published.files)
        except FetchError as error:
            assert not schedule.mild(), f"seed {seed}: {error}\n{schedule.words()}"
            _check(folder, schedule, server, seed, str(error))
            schedule.serve(server, healed=True)
            downloads(folder, *mirrors).fetch(published, published.files)
            outcome = "a complete error, then exact"
        _check(folder, schedule, server, seed, "")
        outcomes[f"{'mild' if schedule.mild() else 'rough'}, {outcome}"] += 1


def _check(folder: Path, schedule: Schedule, server: FaultyServer, seed: int, error: str) -> None:
    """Every file is right or, if there is an error, absent and listed with each URL, its cause and the remedy."""
    published = schedule.published(server)
    for file in published.files:
        found = folder / published.name / file.path
        context = f"seed {seed}, {file.path}: {[*map(spread, schedule.faults[file.path])]}\n{error}"
        if found.exists():
            exactly = bool(file.hashes) or schedule.mild()
            assert _is(found.read_bytes(), schedule.dataset.contents[file.path], exactly=exactly), context
            continue
        assert error, context
        named = error.partition(f"{published.name}/{file.path}: not fetched.\n")[2].partition("not fetched.")[0]
        for url in urls_of(published, file, schedule.mirrors(server)):
            assert f"  {url}: " in named, context
        assert "network.local" in named, context
        here = folder / published.name / f"{file.path}.partial"
        assert ("are kept)" in named) == (here.exists() and here.stat().st_size > 0), context
    left = {path.name for path in folder.rglob("*.partial")}
    assert error or not left, f"seed {seed}: {left}"


def _is(found: bytes, content: bytes, *, exactly: bool) -> bool:
    """Whether it is the published file; without a hash, whether it is one complete version that the server had.

    Without a hash, a bit outside the archive's checksums (a member's date) may be wrong.
    """
    if exactly:
        return found == content
    return any(_members(found) == _members(version) for version in (content, _other(content)))


def _members(content: bytes) -> list[bytes]:
    if not content.startswith(b"PK"):
        return [gzip.decompress(content)]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [archive.read(info) for info in archive.infolist()]


def _other(content: bytes) -> bytes:
    """Another version of a file: an archive of other members; of other formats, other bytes of the same length."""
    if content.startswith(b"\x1f\x8b"):
        return gzip.compress(gzip.decompress(content)[::-1], mtime=0)
    if not content.startswith(b"PK"):
        return content[:64] + bytes(byte ^ 1 for byte in content[64:])
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(stream, "w") as other:
        for info in archive.infolist():
            other.writestr(zipfile.ZipInfo(info.filename), archive.read(info)[::-1])
    return stream.getvalue()
