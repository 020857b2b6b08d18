"""The files that a data set's authors publish: names, sizes, hashes and addresses, and the check of files against them.

These are the types of `manifests/*.yaml`. A fact that is stated nowhere is None, and is named in `unknown`.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.errors import SourceError
from pipeline.params.section import PositiveInt, Sha256
from pipeline.sources.archive_safety import Limits

BLOCK_BYTES = 1 << 20


def _below_the_root(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or not all(parts) or {".", ".."} & set(parts):
        raise ValueError(f"{path!r} is no path below a root, with / and without . and ..")
    return path


PublishedPath = Annotated[str, AfterValidator(_below_the_root)]
Md5 = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Sha1 = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]


class Fact(BaseModel):
    """What is read from a file of ours: unknown keys are refused, types are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PublishedFile(Fact):
    """One published file: its path in the published folder tree, and what is known of it.

    `drive_id` is its id on Google Drive; `urls` are other addresses, in the order to try. `licence`: where files of one
    manifest have several.
    """

    path: PublishedPath
    bytes: PositiveInt | None = None
    md5: Md5 | None = None
    sha1: Sha1 | None = None
    sha256: Sha256 | None = None
    drive_id: str | None = None
    urls: tuple[str, ...] = ()
    licence: str | None = None

    @property
    def name(self) -> str:
        """The file's own name."""
        return PurePosixPath(self.path).name

    @property
    def hashes(self) -> dict[str, str]:
        """The known hashes as hex, by the names that `hashlib` uses."""
        known = {"md5": self.md5, "sha1": self.sha1, "sha256": self.sha256}
        return {name: value for name, value in known.items() if value is not None}

    def fault(self, size: int, digests: Mapping[str, str]) -> str | None:
        """How a file of that size and those digests (of every algorithm of `hashes`) differs; None if it does not."""
        if self.bytes is not None and size != self.bytes:
            return f"{size} bytes, but the published {self.path} has {self.bytes}"
        for name, known in self.hashes.items():
            if digests[name] != known:
                return f"{name.upper()} is {digests[name]}, but the published {self.path} has {known}"
        return None

    def fault_of(self, found: Path) -> str | None:
        """How the file `found` differs; None if it does not. It is read only if its size is right or not known."""
        size = found.stat().st_size
        same_size = self.bytes is None or size == self.bytes
        return self.fault(size, digests(found, self.hashes) if same_size else {})


def _takes_a_number(name: str) -> str:
    try:
        if name.format(1) != name.format(2):
            return name
    except (ValueError, LookupError):
        pass
    raise ValueError(f"{name!r} has no place for one number, such as {{:05d}}")


class Members(Fact):
    """What each archive without a published hash must hold: `count` members, numbered from the archive's own number.

    `name` is theirs without folders, as `str.format` takes it, such as `delta{:05d}.dat`.
    """

    name: Annotated[str, AfterValidator(_takes_a_number)]
    count: PositiveInt

    def names(self, archive: str) -> list[str]:
        """The members of the archive of that name, whose first digits are the number of its first member."""
        digits = re.search("[0-9]+", archive)
        first = 0 if digits is None else int(digits[0])
        return [self.name.format(first + place) for place in range(self.count)]


class Terms(Fact):
    """What a user accepts: a summary, the licence's name, and the address of the full text."""

    statement: str
    licence: str
    url: str


class Source(Fact):
    """What every manifest states."""

    name: Annotated[str, Field(pattern="^[a-z0-9-]+$")]  # the manifest's own: of its folder on mirrors, of its terms
    dataset: str
    home: str
    drive: str | None = None  # the address at which Google Drive serves downloads, for files with a `drive_id`
    terms: Terms
    unknown: tuple[str, ...] = ()  # facts that could not be established
    members: Members | None = None  # of every archive without a published hash
    limits: Limits | None = None  # beyond them an archive counts as a bomb; None: those of the user's own archives


class SourceHead(Source):
    """What a manifest states ahead of its files, which are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Published(Source):
    """All files of one published data set; `photographs`: how many each archive holds, named 000001.jpg on."""

    photographs: PositiveInt | None = None
    files: tuple[PublishedFile, ...]

    def find(self, name: str) -> PublishedFile | None:
        """The published file of that name."""
        return next((file for file in self.files if file.name == name), None)

    def at(self, path: str) -> PublishedFile:
        """The published file of that path; raises `SourceError` where there is none."""
        found = next((file for file in self.files if file.path == path), None)
        if found is None:
            raise SourceError(f"{path}: no published file of {self.dataset}; correct manifests/{self.name}.yaml")
        return found

    def check(self, paths: Iterable[Path]) -> None:
        """Raise `SourceError` if a file has a published name, but another size or hash; other names are the user's."""
        for path in paths:
            known = self.find(path.name)
            fault = known.fault_of(path) if known is not None and path.is_file() else None
            if fault is not None:
                raise SourceError(
                    f"{path}: {fault}. The copy is incomplete, damaged or another file: fetch it again, or give a file "
                    f"of your own making another name."
                )

    def parts_of(self, part: PublishedFile) -> list[PublishedFile]:
        """The files that make up one archive with `part`, itself included."""
        stem = PurePosixPath(part.path).with_suffix("")
        return [file for file in self.files if PurePosixPath(file.path).with_suffix("") == stem]


def digests(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """Hashes of a file's bytes as hex, by algorithm; the file is read once, block by block."""
    hashers = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with path.open("rb") as file:
        while hashers and (block := file.read(BLOCK_BYTES)):
            for hasher in hashers.values():
                hasher.update(block)
    return {name: hasher.hexdigest() for name, hasher in hashers.items()}
