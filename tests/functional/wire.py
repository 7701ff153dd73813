"""A proxy between the tasks and one of their servers: a test can strike during a request.

The sender of the request waits for its answer, so the moment is exact, and the code under test is unchanged.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import httpx

HOP = {"connection", "content-encoding", "content-length", "host", "transfer-encoding"}  # they speak of one hop only


@dataclass
class Strike:
    """What happens once, before a request passes or after it was answered; the sender never gets that answer."""

    when: Literal["before", "after"]
    fits: Callable[[str, bytes], bool]  # of "POST /path" and its body; after a GET, of the body of its answer
    do: Callable[[], None]
    done: bool = False

    def falls(self, when: str, line: str, body: bytes) -> bool:
        if self.done or when != self.when or not self.fits(line, body):
            return False
        self.done = True
        self.do()
        return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Wire"

    def _pass_on(self) -> None:
        line = f"{self.command} {self.path}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._is_struck("before", line, body):
            return
        answer = self._ask(body)
        if not self._is_struck("after", line, answer.content if self.command == "GET" else body):
            self._give(answer)

    def _is_struck(self, when: str, line: str, body: bytes) -> bool:
        struck = any(strike.falls(when, line, body) for strike in self.server.strikes)
        self.close_connection |= struck
        return struck

    def _ask(self, body: bytes) -> httpx.Response:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        try:
            return httpx.request(
                self.command, self.server.target + self.path, content=body, headers=headers, timeout=120
            )
        except httpx.HTTPError:
            return httpx.Response(502)

    def _give(self, answer: httpx.Response) -> None:
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


class Wire(ThreadingHTTPServer):
    """Listens on a free loopback port for the time of a ``with`` block, and passes all on to ``target``."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.strikes: list[Strike] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """Whoever waited for an answer may be dead."""

    def __exit__(self, *_: Any) -> None:
        self.shutdown()
        self.server_close()
