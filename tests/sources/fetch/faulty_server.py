"""A file server on 127.0.0.1 with faults that tests choose; it counts what it sends."""

import hashlib
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self, get_args
from urllib.parse import parse_qs, urlsplit

import web_pages

BLOCK_BYTES = 1 << 12

Kind = Literal[
    "drop", "reset", "stall", "ignore range", "change", "quota", "login", "page", "virus", "truncate", "flip", "429",
    "503", "500", "404", "403", "416", "204", "redirect", "loop", "too long", "too short", "wrong range", "short range",
    "no range given", "encoded", "no length", "chunked", "not even http", "silent",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
STATUSES = {"429": 429, "503": 503, "500": 500, "404": 404, "403": 403, "416": 416, "204": 204}


@dataclass(frozen=True)
class Fault:
    """A fault of one answer; `at` is its position in the bytes, from 0 to 1."""

    kind: Kind
    at: float = 0.5


@dataclass
class File:
    """The content of a path.

    Attributes
    ----------
    other
        The content after a change.
    validators
        Which ones the answers have.
    if_range, ranges
        Whether these headers are respected.
    virus_scan
        Whether Google Drive's virus-scan page precedes every answer.
    """

    content: bytes
    other: bytes = b""
    validators: Literal["etag", "date", "weak", "none"] = "etag"
    answers: tuple[Fault, ...] = ()
    if_range: bool = True
    ranges: bool = True
    virus_scan: bool = False

    def __post_init__(self) -> None:
        self.faults = list(self.answers)
        self.changes = 0

    def change(self) -> None:
        self.content, self.other = self.other, self.content
        self.changes += 1

    def headers(self) -> dict[str, str]:
        etag = f'"{hashlib.md5(self.content).hexdigest()}-{self.changes}"'
        date = formatdate(1_000_000_000 + self.changes, usegmt=True)
        return {
            "etag": {"ETag": etag, "Last-Modified": date},
            "date": {"Last-Modified": date},
            "weak": {"ETag": f"W/{etag}"},
            "none": {},
        }[self.validators]


class FaultyServer:
    """Serves `files` by path. Each request uses up one fault of its path; after the last one answers are correct.

    Attributes
    ----------
    sent
        Bytes of content sent, by path.
    requests
        Path and headers of every request.
    scripts
        Raw answers by path, as functions of the Range header; they take precedence over `files`.
    watch
        Called with path and offset (in the whole file) of every block before it is sent.
    """

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.scripts: dict[str, Callable[[str | None], bytes]] = {}
        self.sent: dict[str, int] = defaultdict(int)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.watch: Callable[[str, int], None] = lambda path, offset: None
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"faulty": self})
        self._http = _Http(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def put(self, path: str, content: bytes, *faults: Fault, **more: Any) -> File:
        self.files[path] = File(content, answers=faults, **more)
        return self.files[path]

    def ranges(self, path: str) -> list[str | None]:
        """The Range header of every request for a path."""
        return [headers.get("range") for requested, headers in self.requests if requested == path]


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faulty: FaultyServer

    def setup(self) -> None:
        # a small buffer, so that most of what is counted as sent has arrived
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)
        super().setup()

    def log_message(self, *_: object) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Connection", "close")  # else a client may reuse a connection that is being closed
        super().end_headers()

    def do_GET(self) -> None:
        self.close_connection = True
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        # all files on Google Drive have the same path, and differ by id
        self.name = f"{parts.path}?id={query['id'][0]}" if "id" in query else parts.path
        with self.faulty.lock:
            self.faulty.requests.append((self.name, {name.lower(): value for name, value in self.headers.items()}))
            file = self.faulty.files.get(self.name)
            scanned = file is not None and file.virus_scan and "uuid" not in query
            ready = file is not None and not scanned and "again" not in query
            fault = file.faults.pop(0) if file is not None and file.faults and ready else None
        if self.name in self.faulty.scripts:
            self.wfile.write(self.faulty.scripts[self.name](self.headers.get("Range")))
        elif file is None:
            self._page(404, web_pages.NOT_FOUND)
        elif scanned:
            self._page(200, web_pages.virus_scan(query["id"][0]))
        elif fault is not None and fault.kind == "virus":
            if "uuid" not in query:
                file.faults.insert(0, fault)
                self._page(200, web_pages.virus_scan(query.get("id", [""])[0]))
            else:
                self._serve(file, None)
        else:
            self._serve(file, fault)

    def _serve(self, file: File, fault: Fault | None) -> None:
        kind = fault.kind if fault is not None else None
        pages = {"quota": web_pages.QUOTA, "login": web_pages.LOGIN, "page": web_pages.PARKED}
        if kind in pages:
            self._page(200, pages[kind])
        elif kind in STATUSES:
            self.send_response(STATUSES[kind])
            for name, value in {"Retry-After": "0", "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()
        elif kind in ("redirect", "loop"):
            self.send_response(302)
            again = f"{self.path}{'&' if '?' in self.path else '?'}again=1"
            self.send_header("Location", self.path if kind == "loop" else again)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if kind == "loop":
                file.faults.insert(0, Fault("loop"))
        elif kind == "not even http":
            self.wfile.write(b"\0\1\2 what is this\r\n\r\n")
        elif kind == "silent":
            self._wait_for_the_client()
        else:
            self._send_content(file, fault)

    def _send_content(self, file: File, fault: Fault | None) -> None:  # noqa: PLR0912 - one branch for each fault
        kind, at = (fault.kind, fault.at) if fault is not None else (None, 0.5)
        if kind == "change":
            file.change()
        content, headers = file.content, file.headers()
        if kind == "truncate":
            content = content[: int(len(content) * at)]
        if kind == "flip":
            position = min(int(len(content) * at), len(content) - 1)
            content = content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :]
        start, status = self._start(file, headers), 206
        if start is None or kind in ("ignore range", "change", "no length", "chunked"):
            start, status = 0, 200
        if start > len(content) or (start == len(content) and content and status == 206):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        end = len(content)
        if kind == "short range" and status == 206:
            end = start + max(int((end - start) * at), 1)
        if status == 206 and kind != "no range given":
            first = start + 7 if kind == "wrong range" else start
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
        length = end - start + {"too long": 1000, "too short": -1}.get(kind or "", 0)
        if kind == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        elif kind != "no length":
            headers.setdefault("Content-Length", str(max(length, 0)))
        if kind == "encoded":
            headers["Content-Encoding"] = "br"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        breaks = kind in ("drop", "reset", "stall", "no length")
        stop = start + int((end - start) * at) if breaks else end
        self._send(content, start, stop, chunked=kind == "chunked")
        if kind == "stall":
            self._wait_for_the_client()
        if kind == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()

    def _start(self, file: File, headers: dict[str, str]) -> int | None:
        """The first byte to send; None for the whole file."""
        requested = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        changed = condition is not None and condition not in headers.values()
        if requested is None or not file.ranges or (changed and file.if_range):
            return None
        return int(requested.removeprefix("bytes=").rstrip("-"))

    def _send(self, content: bytes, start: int, stop: int, *, chunked: bool) -> None:
        view = memoryview(content)
        for offset in range(start, stop, BLOCK_BYTES):
            block = view[offset : min(offset + BLOCK_BYTES, stop)]
            self.faulty.watch(self.name, offset)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
            with self.faulty.lock:
                self.faulty.sent[self.name] += len(block)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _page(self, status: int, page: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def _wait_for_the_client(self) -> None:
        """Send nothing until the client closes the connection."""
        self.request.settimeout(0.05)
        while not self.faulty.stopping.is_set():
            try:
                if not self.request.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


def spread(faults: Iterable[Fault]) -> list[str]:
    """The faults as text, for messages of failed tests."""
    return [f"{fault.kind} at {fault.at:.2f}" for fault in faults]
