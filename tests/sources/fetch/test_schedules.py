"""Hundreds of seeded schedules of faults: a run ends with the exact bytes, or with an error that says all."""

import io
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from faulty_server import KINDS, Fault, FaultyServer, spread
from fetching import HASTY, STEADY, downloads
from tiny_sources import DataSet

from pipeline.errors import FetchError

SCHEDULES = 204
GROUPS = 12
PLACES = 3
LASTING = ("404", "403", "416", "quota", "login", "page", "encoded", "204", "too long", "too short", "truncate", "loop")
"""What another attempt at the same place is not promised to mend."""


@dataclass(frozen=True)
class Schedule:
    """Which faults each file meets at each place."""

    dataset: DataSet
    faults: dict[str, list[list[Fault]]]
    validators: str

    @classmethod
    def draw(cls, seed: int, datasets: dict[str, DataSet]) -> "Schedule":
        randomness = random.Random(seed)
        dataset = datasets[randomness.choice(sorted(datasets))]
        kinds = randomness.sample(KINDS, 8)
        faults = {
            path: [
                [
                    Fault(randomness.choice(kinds), randomness.random())
                    for _ in range(randomness.choice([0, 1, 2, 3, 6]))
                ]
                for _ in range(randomness.randint(1, PLACES))
            ]
            for path in dataset.contents
        }
        return cls(dataset, faults, randomness.choice(["etag", "date", "weak", "none"]))

    def serve(self, server: FaultyServer, *, healed: bool = False) -> None:
        for path, content in self.dataset.contents.items():
            for place, faults in enumerate(self.faults[path]):
                name = f"/place{place}/{self.dataset.published.name}/{path}"
                server.put(
                    name, content, *([] if healed else faults), other=_other(content), validators=self.validators
                )

    def stalls(self) -> bool:
        kinds = {fault.kind for places in self.faults.values() for faults in places for fault in faults}
        return bool(kinds & {"stall", "silent"})

    def mild(self) -> bool:
        """Whether the first place of every file gives it in the end."""
        return not self.stalls() and all(
            len(places[0]) < STEADY.attempts and not {fault.kind for fault in places[0]} & {*LASTING, "change", "flip"}
            for places in self.faults.values()
        )

    def words(self) -> str:
        return "\n".join(f"{path}: {[spread(faults) for faults in places]}" for path, places in self.faults.items())


@pytest.mark.parametrize("group", range(GROUPS))
def test_no_schedule_of_faults_leaves_a_wrong_file(
    group: int, datasets: dict[str, DataSet], server: FaultyServer, tmp_path: Path
) -> None:
    for seed in range(group, SCHEDULES, GROUPS):
        schedule = Schedule.draw(seed, datasets)
        server.files.clear()
        schedule.serve(server)
        folder = tmp_path / str(seed)
        mirrors = [f"{server.url}/place{place}" for place in range(PLACES)]
        patience = HASTY if schedule.stalls() else STEADY
        try:
            downloads(folder, *mirrors, patience=patience).fetch(
                schedule.dataset.published, schedule.dataset.published.files
            )
        except FetchError as error:
            assert not schedule.mild(), f"seed {seed}: {error}\n{schedule.words()}"
            _check(folder, schedule, seed, str(error))
            schedule.serve(server, healed=True)
            downloads(folder, *mirrors).fetch(schedule.dataset.published, schedule.dataset.published.files)
        _check(folder, schedule, seed, "")


def _check(folder: Path, schedule: Schedule, seed: int, error: str) -> None:
    """Every file is right or, where there is an error, not there and named with each place, its cause and a remedy."""
    published = schedule.dataset.published
    for file in published.files:
        found = folder / published.name / file.path
        context = f"seed {seed}, {file.path}: {[*map(spread, schedule.faults[file.path])]}\n{error}"
        if found.exists():
            assert _is(found.read_bytes(), schedule.dataset.contents[file.path], hashed=bool(file.hashes)), context
            continue
        assert error, context
        named = error.partition(f"{published.name}/{file.path}: not fetched.\n")[2].partition("not fetched.")[0]
        for place in range(PLACES):
            assert f"/place{place}/{published.name}/{file.path}: " in named, context
        assert "network.local" in named or "network.mirrors" in named, context
    left = {path.name for path in folder.rglob("*.partial")}
    assert error or not left, f"seed {seed}: {left}"


def _is(found: bytes, content: bytes, *, hashed: bool) -> bool:
    """Whether it is the published file; without a hash, whether it is one of the versions that the server had, whole.

    A bit that changes outside an archive's sums (a member's date) cannot be seen by anyone without a hash.
    """
    versions = [content] if hashed else [content, _other(content)]
    return found in versions or (not hashed and any(_members(found) == _members(version) for version in versions))


def _members(content: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [archive.read(info) for info in archive.infolist()]


def _other(content: bytes) -> bytes:
    """Another version of a file: a zip of other members; of other formats, other bytes of the same length."""
    if not content.startswith(b"PK"):
        return content[:64] + bytes(byte ^ 1 for byte in content[64:])
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(stream, "w") as other:
        for info in archive.infolist():
            other.writestr(zipfile.ZipInfo(info.filename), archive.read(info)[::-1])
    return stream.getvalue()
