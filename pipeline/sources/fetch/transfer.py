"""One HTTP request for the missing bytes of a file."""

import re
import threading
from concurrent.futures import CancelledError
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests
import urllib3

from pipeline.sources.fetch import content, drive_pages
from pipeline.sources.fetch.mirrors import Action, MirrorError, without_credentials
from pipeline.sources.fetch.partial import Origin, PartialFile, check_free_space
from pipeline.sources.published import PublishedFile

READ_BYTES = 1 << 18
"""The most that one read from a connection returns."""

_NUMBER = r"\d{1,30}"
"""A longer number in a header is not a file size."""
_RETRY_AFTER_MAX = 1e8
"""Three years: longer values are cut to this."""


@dataclass(frozen=True)
class Transfer:
    """Requests a file and appends what arrives to its partial file; `stop` ends it by `CancelledError`."""

    file: PublishedFile
    partial: PartialFile
    timeout_seconds: float
    stop: threading.Event

    def resumable_bytes(self, url: str) -> int:
        """How many received bytes a request to `url` continues.

        They must come from there, and a published hash or a validator (sent as If-Range) must show a changed file.
        """
        origin = self.partial.origin
        if origin is None or origin.url != without_credentials(url) or not (self.file.hashes or origin.validator):
            return 0
        return self.partial.size

    def run(self, url: str) -> None:
        """Request the missing bytes. Raises `MirrorError` if the answer is not the file, or ends too early."""
        if self.partial.size and self.partial.size == self._length():
            return
        with requests.Session() as session:
            try:
                self._exchange(session, url, {})
            except urllib3.exceptions.HTTPError as error:
                progress = f"{self.partial.size} of {self._length() or 'unknown'} bytes are here"
                raise MirrorError(f"the connection broke, {progress}: {error}", Action.RETRY) from error

    def _length(self) -> int | None:
        """The length of the whole file, if the manifest or the server states it."""
        if self.file.bytes is not None:
            return self.file.bytes
        return None if self.partial.origin is None else self.partial.origin.total

    def _exchange(self, session: requests.Session, url: str, confirmation: dict[str, str]) -> None:
        """Send the request; `confirmation` is the query from Google Drive's virus-scan page, if that came before."""
        start = self.resumable_bytes(url)
        with closing(self._get(session, url, start, confirmation)) as response:
            if start and _ends_at(response, start):
                return
            _check_status(response, start)
            resumed = start > 0 and response.status_code == HTTPStatus.PARTIAL_CONTENT
            head = _read(response) if resumed else _read_at_least(response, content.HEAD_BYTES)
            if resumed or not drive_pages.is_page(head):
                self._receive(response, url, start if resumed else 0, head)
                return
            page = _page(response, head)
            found = {} if confirmation else drive_pages.confirmation(page)
            if not found:
                raise drive_pages.page_error(page, response.status_code)
        self._exchange(session, url, found)

    def _get(self, session: requests.Session, url: str, start: int, confirmation: dict[str, str]) -> requests.Response:
        headers = {"Accept-Encoding": "identity", "User-Agent": "celebahq"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if not self.file.hashes and self.partial.origin is not None and self.partial.origin.validator:
                headers["If-Range"] = self.partial.origin.validator
        address = url.partition("?")[0] if confirmation else url
        try:
            return session.get(address, params=confirmation, headers=headers, stream=True, timeout=self.timeout_seconds)
        except requests.RequestException as error:
            raise _request_error(error) from error
        except (ValueError, urllib3.exceptions.HTTPError) as error:  # raised by requests for some redirects
            raise MirrorError(f"it redirects to an impossible address ({error})", Action.NEXT_URL) from error

    def _receive(self, response: requests.Response, url: str, start: int, head: bytes) -> None:
        """Check headers and first bytes, then append the answer, which is the file from byte `start`."""
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        # some servers state the compression of a .gz file itself as an encoding
        own = encoding in ("gzip", "x-gzip") and self.file.name.endswith(".gz")
        if encoding not in ("", "identity") and not own:
            raise MirrorError(f"the answer has the encoding {encoding}, which was not requested", Action.NEXT_URL)
        origin = Origin(
            url=without_credentials(url),
            etag=response.headers.get("ETag"),
            last_modified=response.headers.get("Last-Modified"),
            total=self._total(response, start),
        )
        problem = None if start else content.wrong_signature(self.file.name, head)
        if problem is not None:
            raise MirrorError(f"the answer {problem}", Action.NEXT_URL)
        if start and not self.file.hashes and origin != self.partial.origin:  # the server may have ignored If-Range
            raise MirrorError("the file there changed since its first part was fetched", Action.RESTART)
        if origin.total is not None:
            check_free_space(self.partial.path.parent, str(self.partial.target), origin.total - self.partial.size)
        if not start:
            self.partial.restart(origin)
        self._append(response, head)

    def _total(self, response: requests.Response, start: int) -> int | None:
        """The length of the whole file according to the headers; refused if it cannot be this file."""
        if response.status_code == HTTPStatus.OK:
            length = response.headers.get("Content-Length", "")
            total = int(length) if re.fullmatch(_NUMBER, length, re.ASCII) else None
        else:
            given = response.headers.get("Content-Range", "").strip()
            match = re.fullmatch(rf"bytes ({_NUMBER})-{_NUMBER}/(?:({_NUMBER})|\*)", given, re.ASCII)
            if match is None or int(match[1]) != start:
                raise MirrorError(
                    f"it answers with the range {given[:80] or 'unknown'!r} instead of byte {start} on",
                    Action.RESTART if start else Action.NEXT_URL,
                )
            total = int(match[2]) if match[2] else None
        if self.file.bytes is not None and total is not None and total != self.file.bytes:
            raise MirrorError(f"it has {total} bytes, but the published file has {self.file.bytes}", Action.NEXT_URL)
        return total

    def _append(self, response: requests.Response, block: bytes) -> None:
        """Append `block` and the rest of the answer. Bytes beyond the end are an error unless a hash decides."""
        end = self._length()
        while block:
            if end is not None and self.partial.size + len(block) > end:
                if not self.file.hashes:
                    raise MirrorError(f"more bytes came than the {end} expected ones", Action.CORRUPT)
                block = block[: end - self.partial.size]
            self.partial.append(block)
            if self.stop.is_set():
                raise CancelledError
            if self.file.hashes and self.partial.size == end:
                return
            block = _read(response)
        if end is not None and self.partial.size < end:
            raise MirrorError(f"the answer ended after {self.partial.size} of {end} bytes", Action.RETRY)


def _read(response: requests.Response) -> bytes:
    # read1 returns what is there, so that a broken connection loses no byte that had arrived
    return response.raw.read1(READ_BYTES, decode_content=False) or b""


def _read_at_least(response: requests.Response, count: int, head: bytes = b"") -> bytes:
    """The first `count` bytes or more (fewer if the answer ends), of which `head` was read before."""
    while len(head) < count and (block := _read(response)):
        head += block
    return head


def _page(response: requests.Response, head: bytes) -> bytes:
    """A web page, and the URL that redirects led to, by which login pages are recognised."""
    page = _read_at_least(response, drive_pages.PAGE_BYTES, head)[: drive_pages.PAGE_BYTES]
    return page + b"\n" + (response.url or "").encode()


def _ends_at(response: requests.Response, start: int) -> bool:
    """Whether the server answers that the file, whose length was unknown, has exactly `start` bytes."""
    unsatisfiable = response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    return unsatisfiable and response.headers.get("Content-Range", "").strip() == f"bytes */{start}"


def _check_status(response: requests.Response, start: int) -> None:
    status = response.status_code
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    cause = f"HTTP {status} {response.reason or ''}".rstrip()
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
        raise MirrorError(f"{cause} to a request from byte {start}", Action.RESTART)
    if status >= 500 or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS):
        raise MirrorError(cause, Action.RETRY, retry_after=_retry_after(response))
    page = _page(response, b"")
    raise drive_pages.known_page(page, status) or MirrorError(cause, Action.NEXT_URL)


def _retry_after(response: requests.Response) -> float:
    """Seconds that the server asks to wait, stated as a number or as a date; 0 without a valid header."""
    given = response.headers.get("Retry-After", "")
    try:
        if given.isdecimal():
            return min(float(given), _RETRY_AFTER_MAX)
        seconds = (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
    return min(max(seconds, 0.0), _RETRY_AFTER_MAX)


def _request_error(error: requests.RequestException) -> MirrorError:
    root: BaseException = error
    while (cause := root.__cause__ or root.__context__) is not None:
        root = cause
    untrusted = isinstance(error, requests.exceptions.SSLError)
    transient = isinstance(error, (requests.ConnectionError, requests.Timeout)) and not untrusted
    proxy = isinstance(error, requests.exceptions.ProxyError)
    return MirrorError(
        f"{type(error).__name__}: {root}",
        Action.RETRY if transient else Action.NEXT_URL,
        "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment." if proxy else "",
    )
