"""A real HTTP server on this machine that serves one file, well or badly."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


class Answer(Enum):
    """How a request is answered."""

    RANGES = auto()  # well
    NO_RANGES = auto()  # the whole file, whatever was asked for
    BREAK = auto()  # half of what was asked for, and the line goes dead
    STALL = auto()  # half of what was asked for, and then nothing, on an open line
    SILENCE = auto()  # not a byte, on an open line
    REDIRECT = auto()
    MISSING = auto()
    REFUSED_RANGE = auto()
    BUSY = auto()


_REFUSALS = {Answer.MISSING: 404, Answer.REFUSED_RANGE: 416, Answer.BUSY: 503}


class FileServer(ThreadingHTTPServer):
    """Answers as `answers` says, one a request, then well; keeps what was asked for."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.length = len(content)  # what it says, also when it breaks off
        self.answers: list[Answer] = []
        self.ranges: list[str | None] = []
        self.ended = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news here."""


class _Handler(BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        answer = self.server.answers.pop(0) if self.server.answers else Answer.RANGES
        if answer in _REFUSALS:
            self.send_error(_REFUSALS[answer])
        elif answer is Answer.REDIRECT:
            self._head(302, 0, Location="/storage/file")
        else:
            self._file(answer, asked)

    def _file(self, answer: Answer, asked: str | None) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        start = int(match[1]) if match and answer is not Answer.NO_RANGES else 0
        length = self.server.length
        if start:
            part = f"bytes {start}-{length - 1}/{length}"
            self._head(206, length - start, **{"Content-Range": part})
        else:
            self._head(200, length)
        rest = self.server.content[start:]
        whole = answer in (Answer.RANGES, Answer.NO_RANGES)
        if answer is not Answer.SILENCE:
            self.wfile.write(rest if whole else rest[: len(rest) // 2])
        if answer in (Answer.STALL, Answer.SILENCE):
            self.server.ended.wait(60)
        self.close_connection = not whole

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    """A server for the length of a block."""
    server = FileServer(content)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
