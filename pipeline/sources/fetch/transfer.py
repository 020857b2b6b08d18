"""One request for one file at one place: what is missing is asked for, and nothing is kept that does not belong."""

import re
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests
import urllib3

from pipeline.sources.fetch import content, drive_pages
from pipeline.sources.fetch.download_errors import Next, PlaceError
from pipeline.sources.fetch.mirrors import Place
from pipeline.sources.fetch.partial import Origin, Partial
from pipeline.sources.published import PublishedFile

READ_BYTES = 1 << 18
"""Most that is taken from a connection at once."""

_DIGITS = 30
"""Longer numbers in headers are no sizes of files."""
_LONGEST_ASKED_SECONDS = 1e8
"""Three years: what a server asks for beyond counts as that."""

_PASSING = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
"""Statuses that may be gone on the next attempt."""


class StoppedError(Exception):
    """Another file's failure, or the user, ends the run."""


@dataclass(frozen=True)
class Transfer:
    """Brings the bytes of one file.

    Parameters
    ----------
    file
        What is published of it.
    partial
        Where the bytes go; locked by the caller.
    timeout_seconds
        No byte for so long is a stall.
    stop
        Ends the transfer between two blocks.
    arrived
        Told of the size of `partial` after every change of it.
    room
        Told how many bytes the file has in all when an answer says so; raises where the disk has not so many free.
    """

    file: PublishedFile
    partial: Partial
    timeout_seconds: float
    stop: threading.Event
    arrived: Callable[[int], None]
    room: Callable[[int], None]

    def attempt(self, place: Place, *, afresh: bool) -> None:
        """Ask `place` for what is missing. On return `partial` has as many bytes as there should be.

        Parameters
        ----------
        afresh
            Ask for the whole file, whatever is here.

        Raises
        ------
        PlaceError
            The place did not give what is missing; what it gave of it is kept.
        StoppedError
            `stop` was set.
        """
        if self.file.bytes is not None and self.partial.size > self.file.bytes:
            self.partial.discard()  # more than there can be
        if self.partial.size and self.partial.size == self._end():
            return
        start = 0 if afresh or not self._may_go_on(place) else self.partial.size
        with requests.Session() as session:
            try:
                self._ask(session, place, start, {})
            except urllib3.exceptions.HTTPError as error:
                raise self._fault_of_stream(error) from error

    def _end(self) -> int | None:
        """How many bytes there are in all, as far as the manifest or the last answer says."""
        if self.file.bytes is not None:
            return self.file.bytes
        return None if self.partial.origin is None else self.partial.origin.total

    def _may_go_on(self, place: Place) -> bool:
        """Whether what is here may be continued from this place.

        With a published hash the name means one sequence of bytes, wherever it comes from. Without one only the same
        address, by a validator, is known to go on with the same bytes.
        """
        if self.file.hashes:
            return True
        origin = self.partial.origin
        return origin is not None and origin.url == place.address and origin.validator is not None

    def _ask(self, session: requests.Session, place: Place, start: int, confirmed: dict[str, str]) -> None:
        headers = {"Accept-Encoding": "identity", "User-Agent": "celebahq"}
        origin = self.partial.origin
        if start:
            headers["Range"] = f"bytes={start}-"
            if not self.file.hashes and origin is not None and origin.validator is not None:
                headers["If-Range"] = origin.validator
        url = place.url.partition("?")[0] if confirmed else place.url
        with closing(self._open(session, url, confirmed, headers)) as response:
            if self._says_that_all_is_here(response, start):
                return
            self._refuse_status(response, start)
            # what goes on from a byte is kept from its first byte; what begins is looked at before
            continues = start > 0 and response.status_code == HTTPStatus.PARTIAL_CONTENT
            first = _read(response) if continues else _first_of(response)
            if continues or not drive_pages.is_page(first):
                self._take(response, place, start if continues else 0, first)
                return
            page = _page_of(response, first)
            fields = drive_pages.confirmation(page) if place.drive and drive_pages.is_virus_scan(page) else {}
            if not fields or confirmed:
                raise drive_pages.fault_of(page, response.status_code)
        self._ask(session, place, start, fields)

    def _open(
        self, session: requests.Session, url: str, fields: dict[str, str], headers: dict[str, str]
    ) -> requests.Response:
        timeouts = (self.timeout_seconds, self.timeout_seconds)
        try:
            return session.get(url, params=fields, headers=headers, stream=True, timeout=timeouts)
        except requests.RequestException as error:
            raise _fault_of_request(error, self.timeout_seconds) from error
        except (ValueError, urllib3.exceptions.HTTPError) as error:  # requests lets through what redirects lead to
            raise PlaceError(f"it leads to an impossible address, or none ({error})", Next.ELSEWHERE) from error

    def _says_that_all_is_here(self, response: requests.Response, start: int) -> bool:
        """Whether nothing is left of a file whose length was not known: its end was asked for, and none is there."""
        if response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or self.file.bytes is not None:
            return False
        return start > 0 and response.headers.get("Content-Range", "").strip() == f"bytes */{start}"

    def _refuse_status(self, response: requests.Response, start: int) -> None:
        status = response.status_code
        if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return
        said = f"HTTP {status} {response.reason or ''}".rstrip()
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            raise PlaceError(f"{said} to a request from byte {start}", Next.AFRESH)
        if status in _PASSING:
            raise PlaceError(said, Next.AGAIN, wait_seconds=_retry_after(response))
        page = _page_of(response, _first_of(response))
        raise drive_pages.known(page, status) or PlaceError(said, Next.ELSEWHERE)

    def _take(self, response: requests.Response, place: Place, start: int, first: bytes) -> None:
        """Judge the answer by its headers and first bytes, then keep what comes."""
        self._refuse_encoding(response)
        total = self._total(response, start)
        origin = Origin(
            url=place.address,
            etag=response.headers.get("ETag"),
            last_modified=response.headers.get("Last-Modified"),
            total=total,
        )
        if start:
            if not self.file.hashes:
                self._refuse_other_bytes(origin)
        else:
            fault = content.wrong_start(self.file.name, first)
            if fault is not None:
                raise PlaceError(f"what came {fault}", Next.ELSEWHERE)
        if total is not None and self.file.hashes and total < self.partial.size:
            raise PlaceError(f"it has {total} bytes, of which {self.partial.size} are here", Next.CORRUPT)
        if total is not None:
            self.room(total)
        if start or self.file.hashes:  # the hash will tell whether what is here and what comes belong together
            self.partial.go_on_from(origin)
        else:
            self.partial.begin(origin)
        self._keep(response, start, first)

    def _refuse_encoding(self, response: requests.Response) -> None:
        encoding = response.headers.get("Content-Encoding", "").strip().lower() or "identity"
        # some servers call a .gz file's own compression an encoding: its bytes as they come are the file
        own = encoding in ("gzip", "x-gzip") and self.file.name.endswith(".gz")
        if encoding != "identity" and not own:
            raise PlaceError(
                f"the bytes come encoded ({encoding}), though they were asked for as they are", Next.ELSEWHERE
            )

    def _total(self, response: requests.Response, start: int) -> int | None:
        """How many bytes the whole file has, as the answer says; refused where it cannot be this file."""
        length = response.headers.get("Content-Length", "")
        if response.status_code == HTTPStatus.OK:
            total = int(length) if re.fullmatch(rf"\d{{1,{_DIGITS}}}", length, re.ASCII) else None
        else:
            given = response.headers.get("Content-Range", "")
            number = rf"(\d{{1,{_DIGITS}}})"
            match = re.fullmatch(rf"bytes {number}-{number}/(?:{number}|\*)", given.strip(), re.ASCII)
            if match is None or int(match[1]) != start:
                raise PlaceError(
                    f"asked from byte {start}, it answers with the range {given[:80] or 'unknown'!r}", Next.AFRESH
                )
            total = None if match[3] is None else int(match[3])
        if self.file.bytes is not None and total is not None and total != self.file.bytes:
            raise PlaceError(f"it has {total} bytes, but the published file has {self.file.bytes}", Next.ELSEWHERE)
        return total

    def _refuse_other_bytes(self, origin: Origin) -> None:
        """Refuse to join bytes of two files: a server may overlook that it was asked for unchanged ones only."""
        here = self.partial.origin
        if here is None or here.url != origin.url:
            return
        if (here.etag, here.last_modified, here.total) != (origin.etag, origin.last_modified, origin.total):
            raise PlaceError("the file there changed since its first part was fetched", Next.AFRESH)

    def _keep(self, response: requests.Response, start: int, first: bytes) -> None:
        """Add the answer, which is the file from byte `start` on, to what is here; what is here of it is passed over.

        Bytes beyond the end are left where a hash tells whether the rest is the file; elsewhere they are a fault.
        """
        end = self._end()
        position = start
        block = first
        while block:
            fresh = block[max(self.partial.size - position, 0) :]
            position += len(block)
            if end is not None and self.partial.size + len(fresh) > end:
                if not self.file.hashes:
                    raise PlaceError(f"more bytes came than the {end} that there should be", Next.CORRUPT)
                fresh = fresh[: end - self.partial.size]
            self.partial.append(fresh)
            self.arrived(self.partial.size)
            if self.stop.is_set():
                raise StoppedError
            if self.file.hashes and self.partial.size == end:
                return
            block = _read(response)
        if position < self.partial.size or (end is not None and position < end):
            raise PlaceError(f"the answer ended after {position} of {end or 'unknown'} bytes", Next.AGAIN)

    def _fault_of_stream(self, error: urllib3.exceptions.HTTPError) -> PlaceError:
        if isinstance(error, urllib3.exceptions.ReadTimeoutError):
            return _stall(self.timeout_seconds)
        return PlaceError(
            f"the connection broke; {self.partial.size} of {self._end() or 'unknown'} bytes are here", Next.AGAIN
        )


def _first_of(response: requests.Response) -> bytes:
    """The first bytes of the answer, enough to tell what it is."""
    first = b""
    while len(first) < content.HEAD_BYTES and (block := _read(response)):
        first += block
    return first


def _page_of(response: requests.Response, first: bytes) -> bytes:
    """An HTML page as far as it is looked at; where redirects led to is a part of what it says."""
    page = first
    while len(page) < drive_pages.PAGE_BYTES and (block := _read(response)):
        page += block
    return page[: drive_pages.PAGE_BYTES] + b"\n" + (response.url or "").encode()


def _read(response: requests.Response) -> bytes:
    # read1 gives what is there: a connection that breaks takes no byte with it that had arrived
    return response.raw.read1(READ_BYTES, decode_content=False) or b""


def _retry_after(response: requests.Response) -> float:
    given = response.headers.get("Retry-After", "")
    try:
        if given.isdecimal():
            return min(float(given), _LONGEST_ASKED_SECONDS)
        seconds = (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_ASKED_SECONDS)


def _stall(seconds: float) -> PlaceError:
    return PlaceError(f"no byte came for {seconds:g} seconds", Next.AGAIN)


def _fault_of_request(error: requests.RequestException, timeout_seconds: float) -> PlaceError:
    then, remedy = Next.AGAIN, ""
    match error:
        case requests.exceptions.SSLError():
            cause, then = f"no trusted connection: {_innermost(error)}", Next.ELSEWHERE
        case requests.exceptions.ProxyError():
            cause = f"the proxy does not let it through: {_innermost(error)}"
            remedy = "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment."
        case requests.ReadTimeout():
            return _stall(timeout_seconds)
        case requests.Timeout():
            cause = f"no connection within {timeout_seconds:g} seconds"
        case requests.TooManyRedirects():
            cause, then = "it redirects without end", Next.ELSEWHERE
        case requests.ConnectionError():
            cause = f"no connection: {_innermost(error)}"
        case _:
            cause, then = f"{type(error).__name__}: {error}", Next.ELSEWHERE
    return PlaceError(cause, then, remedy=remedy)


def _innermost(error: BaseException) -> str:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error) or type(error).__name__
