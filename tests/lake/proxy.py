"""A proxy before an S3 server: it forgets headers, answers 503, or cuts what it sends."""

import http.client
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

End = Literal["length", "chunks", "close"]  # how an answer says where its body ends
HOP = {"connection", "content-length", "transfer-encoding", "host", "expect"}  # they speak of one hop only


@dataclass
class Faults:
    """What goes wrong; each function gets "GET /path" and its answer counts for that request alone."""

    forgets: tuple[str, ...] = ()  # headers of requests, in small letters
    is_unavailable: Callable[[str], bool] = lambda line: False  # 503, and the server does not hear of it
    loses_answer: Callable[[str], bool] = lambda line: False  # 503, although the server did what it was asked for
    keeps: Callable[[str, int], int | None] = lambda line, size: None  # so many bytes of an answer; None: all
    end: End = "length"
    refuses_conditions: bool = False  # 501 to a request with If-None-Match
    asked: list[str] = field(default_factory=list)  # the requests so far


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Proxy"

    def _pass_on(self) -> None:
        line, faults = f"{self.command} {self.path}", self.server.faults
        faults.asked.append(line)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if faults.refuses_conditions and "if-none-match" in headers:
            return self._give(501, {}, b"")
        if faults.is_unavailable(line):
            return self._give(503, {}, b"")
        dropped = HOP | set(faults.forgets)
        kept = {name: value for name, value in headers.items() if name not in dropped}
        status, answered, content = self.server.ask(self.command, self.path, body, kept)
        if faults.loses_answer(line):
            return self._give(503, {}, b"")
        return self._give(status, answered, content, faults.keeps(line, len(content)), faults.end)

    def _give(
        self, status: int, headers: Mapping[str, str], body: bytes, keeps: int | None = None, end: End = "length"
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        if end == "length" or status != 200:
            length = headers["content-length"] if self.command == "HEAD" and "content-length" in headers else len(body)
            self.send_header("Content-Length", str(length))
        elif end == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        self.close_connection = keeps is not None or end == "close"
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if keeps is None else body[:keeps])

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = _pass_on

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, target: str, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.faults = urlsplit(target).netloc, faults

    def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.target, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no news."""


@contextmanager
def proxy(target: str, faults: Faults) -> Iterator[str]:
    """The URL of a proxy before the server at ``target``."""
    server = _Proxy(target, faults)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def now_and_then(share: float, seed: int, method: str = "") -> Callable[[str], bool]:
    """True for a random share of the requests whose line begins with ``method``; threads may share it."""
    rng, lock = random.Random(seed), threading.Lock()

    def fails(line: str) -> bool:
        with lock:
            return line.startswith(method) and rng.random() < share

    return fails
