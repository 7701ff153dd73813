"""A stand-in for the model server, whose own tests are in tests/serving: its protocol, with a verdict of the test's."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.pictures import plain

VERDICT: dict[str, Any] = {
    "probability": 0.97,
    "is_positive": True,
    "unsure": False,
    "threshold": 0.5,
    "model_version": "7",
    "error": None,
    "explanation": None,
    "shares": [0.97, 0.02, 0.005, 0.005],
}
HEAT_MAP = base64.b64encode(plain("grey", kind="PNG")).decode()


class ModelServer(ThreadingHTTPServer):
    """On a free loopback port, for the time of a ``with`` block; it notes each request.

    ``verdict``, ``status`` and ``body`` may change meanwhile. While ``open`` is cleared requests wait.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, status: int = 200, body: bytes | None = None, **verdict: Any) -> None:
        self.status, self.body, self.verdict = status, body, VERDICT | verdict
        self.requests: list[dict[str, Any]] = []
        self.open = threading.Event()
        self.open.set()
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def verdicts(self) -> int:
        """How many verdicts were asked for, without explanations."""
        return sum(1 for request in self.requests if not request["explain"])

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        live = {"model_version": self.server.verdict["model_version"], "sha256": "live", "since": "2026-11-27T00:00:00"}
        self._send(200, json.dumps(live | {"dataset": "d", "rejected": {}}).encode())

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data, explain = asked["dataframe_split"], bool(asked["params"]["explain"])
        assert (self.path, data["columns"]) == ("/invocations", ["image"])
        photos = [base64.b64decode(row[0]) for row in data["data"]]
        self.server.requests.append({"explain": explain, "id": self.headers["X-Request-ID"], "photos": photos})
        self.server.open.wait()
        verdict = self.server.verdict | {"explanation": HEAT_MAP if explain else None}
        answer = {"predictions": [verdict] * len(photos)} if self.server.status == 200 else {"error": "no"}
        self._send(self.server.status, json.dumps(answer).encode() if self.server.body is None else self.server.body)

    def _send(self, status: int, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:  # the app has stopped waiting
            return

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""
