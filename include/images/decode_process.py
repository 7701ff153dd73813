"""One worker of `decode_pool`: its process, and our end of the socket between us."""

import json
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from include.errors import DecoderFailed
from include.images.decoding import MAX_PIXELS
from include.settings import ROOT

START_SECONDS = 60.0  # for Python and Pillow on a busy machine
VARIABLES = (
    "OPENBLAS_NUM_THREADS=1",  # each thread of it reserves memory
    # What a large picture took goes back to the system at once: glibc would keep blocks of up to 32 MB. Smaller blocks
    # stay for the next photo, which without them takes 8 ms more.
    "MALLOC_MMAP_THRESHOLD_=8000000",
    "MALLOC_TRIM_THRESHOLD_=8000000",
)


@dataclass(frozen=True)
class Answer:
    """What a worker says of a photo: JSON as `decode_worker` writes it, and the bytes that were asked for."""

    header: dict[str, Any]
    parts: list[bytes]


class DecodeProcess:
    """A started worker; ``memory`` is the number of bytes that one photo may take. Raises DecoderFailed."""

    def __init__(self, memory: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            module = [sys.executable, "-m", "include.images.decode_worker"]
            command = ["env", *VARIABLES, *module, str(theirs.fileno()), str(memory)]
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        self._connection = Connection(ours.detach())
        self.lives = True
        with suppress(EOFError, OSError), _Alarm(self._process, START_SECONDS):
            self._connection.recv_bytes()
            return
        self.end()
        raise DecoderFailed("the process that decodes photos does not start; its output says why")

    def ask(self, body: bytes, order: dict[str, Any], seconds: float) -> Answer | None:
        """Its answer, or none if it died. What takes longer than ``seconds`` is ended, which is an answer."""
        alarm = _Alarm(self._process, seconds)
        try:
            with alarm:
                self._connection.send_bytes(json.dumps(order).encode())
                self._connection.send_bytes(body)
                header = json.loads(self._connection.recv_bytes())
                return Answer(header, [self._connection.recv_bytes() for _ in range(header["parts"])])
        except (EOFError, OSError):
            self.end()
        if not alarm.rang:
            return None
        message = f"decoding this picture takes more than {seconds:.0f} seconds; save a smaller one, as a JPEG"
        return Answer({"photo": ["too_slow", message], "pixels": MAX_PIXELS}, [])

    def end(self) -> None:
        self.lives = False
        self._connection.close()
        self._process.kill()
        self._process.wait()


class _Alarm:
    """Kills a process that is not done in time: whoever reads from its socket then reads its end."""

    def __init__(self, process: subprocess.Popen, seconds: float) -> None:
        self.rang = False
        self._process = process
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True

    def _ring(self) -> None:
        self.rang = True
        self._process.kill()

    def __enter__(self) -> "_Alarm":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
