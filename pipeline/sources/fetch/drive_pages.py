"""Web pages that come in place of a file: Google Drive's, and any other."""

import re
from html.parser import HTMLParser

from pipeline.sources.fetch.download_errors import Next, PlaceError

PAGE_BYTES = 1 << 16
"""As much of a page is looked at; the known ones are far shorter."""

_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:(?><!--.*?-->|<\?xml\b.*?\?>)\s*+)*+<(?:!doctype\s+html|html|head|title|body)\b",
    re.I | re.S,
)
"""Possessive throughout: what was passed over is never tried again, so that the time grows with the length alone."""
_TITLE = re.compile(rb"<title[^>]{0,200}>(.{0,1000}?)</title>", re.I | re.S)

_KNOWN: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "Google Drive's page that this file's download quota is used up",
        ("quota exceeded", "too many users have viewed or downloaded this file recently"),
        "Google gives it out again within 24 hours: run this again then.",
    ),
    (
        "Google Drive's virus-scan page, which did not lead on to the file",
        ("virus scan warning", "too large for google to scan for viruses"),
        "",
    ),
    (
        "Google's login page: the file is not open to everyone",
        ("accounts.google.com/servicelogin", "accounts.google.com/v3/signin", "sign in - google accounts"),
        "",
    ),
    (
        "Google Drive's page that access to this file is denied",
        ("you need access", "google drive: access denied", "google drive - access denied"),
        "",
    ),
    (
        "Google's page against automated requests",
        ("unusual traffic from your computer network", "automated queries"),
        "Wait some hours, or fetch from another network.",
    ),
)


def is_page(head: bytes) -> bool:
    """Whether the bytes start as a page of HTML or XHTML does. No published file is one."""
    return _START.match(head) is not None


def is_virus_scan(page: bytes) -> bool:
    """Whether it is Google Drive's question whether to download a file too large for its virus scan."""
    return _found(page, _KNOWN[1][1])


def known(page: bytes, status: int) -> PlaceError | None:
    """What a page of Google's says; None where it is another page."""
    for cause, marks, remedy in _KNOWN:
        if _found(page, marks):
            return PlaceError(f"{cause} (HTTP {status})", Next.ELSEWHERE, remedy=remedy)
    return None


def fault_of(page: bytes, status: int) -> PlaceError:
    """What an HTML page in place of the file says, recognised where it is a known one."""
    fault = known(page, status)
    if fault is not None:
        return fault
    title = _TITLE.search(page)
    words = " ".join(title[1].decode("utf-8", "replace").split())[:80] if title else "no title"
    return PlaceError(f"an HTML page ({words!r}, HTTP {status}) in place of the file", Next.ELSEWHERE)


def confirmation(page: bytes) -> dict[str, str]:
    """The parameters with which the virus-scan page would ask for the file; empty where it has none."""
    form = _DownloadForm()
    form.feed(page.decode("utf-8", "replace"))
    return form.fields


def _found(page: bytes, marks: tuple[str, ...]) -> bool:
    text = " ".join(page.decode("utf-8", "replace").lower().split())
    return any(mark in text for mark in marks)


class _DownloadForm(HTMLParser):
    """The hidden fields of the page's form."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._inside = "download" in (given.get("id") or given.get("action") or "")
        elif tag == "input" and self._inside and given.get("type") == "hidden" and given.get("name"):
            self.fields[str(given["name"])] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
