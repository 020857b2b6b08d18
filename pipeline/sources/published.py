"""The files that a data set's authors publish: names, sizes and hashes, and the check of a file against them.

The facts stand in `manifests/*.yaml`; whoever reads YAML passes them on in these types.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import SourceError


class PublishedFile(BaseModel):
    """One published file; `path` is its place in the published folder tree."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    path: str
    bytes: Annotated[int, Field(gt=0)]
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    drive_id: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return PurePosixPath(self.path).name

    def check(self, found: Path) -> None:
        """Raise `SourceError` unless the file `found` has the published size and MD5."""
        size = found.stat().st_size
        if size != self.bytes:
            raise SourceError(
                f"{found}: {size} bytes, but the published {self.path} has {self.bytes}. The copy is incomplete or "
                f"another file: fetch it again, or give a file of your own making another name."
            )
        with found.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        if md5 != self.md5:
            raise SourceError(
                f"{found}: MD5 is {md5}, but the published {self.path} has {self.md5}. The copy is damaged or "
                f"another file: fetch it again, or give a file of your own making another name."
            )


class Published(BaseModel):
    """All files of one published data set; `photographs`: how many each archive of them holds, named 000001.jpg on."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dataset: str
    home: str
    terms: str
    photographs: Annotated[int, Field(gt=0)] | None = None
    files: tuple[PublishedFile, ...]

    def find(self, name: str) -> PublishedFile | None:
        """The published file of that name, None where there is none."""
        return next((file for file in self.files if file.name == name), None)

    def check(self, found: Iterable[Path]) -> None:
        """Check every file that bears a published name; files of other names are the user's own and pass."""
        for path in found:
            known = self.find(path.name)
            if known is not None:
                known.check(path)

    def beside(self, first: Path) -> list[Path]:
        """The published files that must lie beside `first`: the parts of one archive, itself included.

        Empty where `first` is no published part.
        """
        known = self.find(first.name)
        if known is None:
            return []
        stem = PurePosixPath(known.path).with_suffix("")
        return [first.with_name(file.name) for file in self.files if PurePosixPath(file.path).with_suffix("") == stem]
