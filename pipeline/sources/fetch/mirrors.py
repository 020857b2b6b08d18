"""The URLs of a published file, and why one of them failed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import quote, urlencode

from pipeline.sources.published import PublishedFile, Source

PUBLISHED = "published"
"""Among `network.mirrors`: the URLs that the manifest names."""


class Action(Enum):
    """What to do after an attempt failed."""

    RETRY = auto()  # the same URL, from the byte where it stopped
    RESTART = auto()  # the same URL, from the first byte
    CORRUPT = auto()  # as RESTART, but only once: the bytes of the whole file are wrong
    NEXT_URL = auto()


@dataclass(eq=False)
class MirrorError(Exception):
    """One attempt at one URL failed."""

    cause: str
    action: Action
    remedy: str = ""  # what the user can do about this cause in particular
    retry_after: float = 0.0  # seconds that the server asks to wait


def urls_of(manifest: Source, file: PublishedFile, mirrors: Sequence[str]) -> list[str]:
    """The URLs of a file in the order in which they are tried.

    `mirrors` are base URLs, below which `<manifest>/<path>` lies, and `published` for the URLs in the manifest: its
    `urls` first, then Google Drive.
    """
    urls: list[str] = []
    for mirror in mirrors:
        if mirror != PUBLISHED:
            urls.append(f"{mirror.rstrip('/')}/{manifest.name}/{quote(file.path)}")
            continue
        urls += file.urls
        if manifest.drive is not None and file.drive_id is not None:
            urls.append(f"{manifest.drive}?{urlencode({'id': file.drive_id, 'export': 'download', 'confirm': 't'})}")
    return urls


def without_credentials(text: str) -> str:
    """The text without the user name and password of the URLs in it."""
    return re.sub(r"(?<=://)[^/?#\s]*@", "", text)
