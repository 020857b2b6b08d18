"""Where a published file can be had."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from pipeline.sources.published import PublishedFile, Source

PUBLISHED = "published"
"""Among the mirrors of the params: the places that the manifest names."""


@dataclass(frozen=True, slots=True)
class Place:
    """One address of one file; `drive` where it is Google Drive's, which answers with pages of its own."""

    url: str
    drive: bool

    @property
    def address(self) -> str:
        """The address as it is recorded and shown."""
        return without_credentials(self.url)


def without_credentials(text: str) -> str:
    """The text, its addresses without the name and password that may stand in them."""
    return re.sub(r"(?<=://)[^/?#\s]*@", "", text)


def places_of(source: Source, file: PublishedFile, mirrors: Sequence[str]) -> list[Place]:
    """The places of a file in the order to ask them.

    Parameters
    ----------
    mirrors
        Addresses below which `<manifest>/<path>` lies, and `published` for the places in the manifest:
        its `urls` first, then Google Drive.
    """
    places: list[Place] = []
    for mirror in mirrors:
        if mirror == PUBLISHED:
            places += [Place(url, drive=False) for url in file.urls]
            if source.drive is not None and file.drive_id is not None:
                asked = urlencode({"id": file.drive_id, "export": "download", "confirm": "t"})
                places.append(Place(f"{source.drive}?{asked}", drive=True))
        else:
            places.append(Place(f"{mirror.rstrip('/')}/{source.name}/{quote(file.path)}", drive=False))
    return places
