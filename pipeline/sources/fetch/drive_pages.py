"""Web pages that a server sends in place of a file: those of Google Drive, and any other."""

import re
from html.parser import HTMLParser

from pipeline.sources.fetch.mirrors import Action, MirrorError

PAGE_BYTES = 1 << 16
"""How much of a page is read; the known pages are far shorter."""

_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:(?><!--.*?-->|<\?xml\b.*?\?>)\s*+)*+<(?:!doctype\s+html|html|head|title|body)\b",
    re.I | re.S,
)
"""Possessive quantifiers throughout: without backtracking the time grows linearly with the length."""
_TITLE = re.compile(rb"<title[^>]{0,200}>(.{0,1000}?)</title>", re.I | re.S)

_VIRUS_SCAN = ("virus scan warning", "too large for google to scan for viruses")
_KNOWN: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "Google Drive: the download quota of this file is used up",
        ("quota exceeded", "too many users have viewed or downloaded this file recently"),
        "Google lifts the quota within 24 hours: run this again then.",
    ),
    ("Google Drive: the virus-scan page did not lead to the file", _VIRUS_SCAN, ""),
    (
        "Google's login page: the file is not public",
        ("accounts.google.com/servicelogin", "accounts.google.com/v3/signin", "sign in - google accounts"),
        "",
    ),
    (
        "Google Drive: access to this file is denied",
        ("you need access", "google drive: access denied", "google drive - access denied"),
        "",
    ),
    (
        "Google's page against automated requests",
        ("unusual traffic from your computer network", "automated queries"),
        "Wait some hours, or use another network.",
    ),
)
"""Cause, texts by which the page is recognised, and remedy."""


def is_page(head: bytes) -> bool:
    """Whether the bytes start like HTML or XHTML. No published file does."""
    return _START.match(head) is not None


def known_page(page: bytes, status: int) -> MirrorError | None:
    """The error for one of Google's pages; None for any other page."""
    for cause, texts, remedy in _KNOWN:
        if _contains(page, texts):
            return MirrorError(f"{cause} (HTTP {status})", Action.NEXT_URL, remedy)
    return None


def page_error(page: bytes, status: int) -> MirrorError:
    """The error for any HTML page that came in place of the file."""
    title = _TITLE.search(page)
    text = " ".join(title[1].decode("utf-8", "replace").split())[:80] if title else "no title"
    other = MirrorError(f"an HTML page ({text!r}, HTTP {status}) in place of the file", Action.NEXT_URL)
    return known_page(page, status) or other


def confirmation(page: bytes) -> dict[str, str]:
    """The query by which Google Drive's virus-scan page leads to the file; empty for any other page."""
    form = _DownloadForm()
    if _contains(page, _VIRUS_SCAN):
        form.feed(page.decode("utf-8", "replace"))
    return form.fields


def _contains(page: bytes, texts: tuple[str, ...]) -> bool:
    words = " ".join(page.decode("utf-8", "replace").lower().split())
    return any(text in words for text in texts)


class _DownloadForm(HTMLParser):
    """The hidden fields of the page's download form."""

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
