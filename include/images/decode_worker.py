"""A process that decodes photos for `decode_pool`: `python -m include.images.decode_worker FD BYTES`.

It reads orders (JSON, then the photo's bytes) from a socket and answers (JSON, then raw bytes), one at a time, until
the socket closes, which it does when the process that started it ends. No pickle passes: decoders have had faults, and
what a photo made of this process must not reach the other one.
"""

import json
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from PIL import Image

from include.errors import NotAPhoto
from include.images.decoded import clean_jpeg, decode_for_network, look

Answer = tuple[dict[str, Any], list[bytes]]


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the process that started this one
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    connection = Connection(int(sys.argv[1]))
    _limit_memory(int(sys.argv[2]))
    connection.send_bytes(b"ready")
    try:
        while True:
            order, body = json.loads(connection.recv_bytes()), connection.recv_bytes()
            header, parts = _answer(order, body)
            for frame in (json.dumps(header).encode(), *parts):
                connection.send_bytes(frame)
    except (EOFError, OSError):  # whoever asked has ended
        return


def _limit_memory(more: int) -> None:
    """Allow ``more`` bytes of data above what Python and the decoders hold by now; no core dumps."""
    kilobytes = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
    limit = int(kilobytes.split()[1]) * 1024 + more
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(order: dict[str, Any], body: bytes) -> Answer:
    """``photo`` says what is wrong with the photo (reason and message), ``fault`` what is wrong with the machine.

    A large one is not decoded until the order allows it: ``large``.
    """
    task = TASKS[order.pop("task")]
    pixels, is_large = look(body)
    header: dict[str, Any] = {"pixels": pixels, "parts": 0}
    if not order.pop("large") and is_large:
        return header | {"large": True}, []
    try:
        more, parts = task(body, **order)
    except NotAPhoto as error:
        more, parts = {"photo": [error.reason, str(error)]}, []
    except MemoryError:
        more, parts = {"photo": ["too_large", "decoding this picture takes too much memory; save a smaller one"]}, []
    except Exception as error:  # see `decode`: what it lets through is a fault of the machine
        more, parts = {"fault": f"{type(error).__name__}: {error}"}, []
    return header | more | {"parts": len(parts)}, parts


def _network(body: bytes, **options: Any) -> Answer:
    decoded = decode_for_network(body, **options)
    if decoded.preview is None:
        return {}, [decoded.pixels.tobytes()]
    return {"preview": decoded.preview.size}, [decoded.pixels.tobytes(), decoded.preview.tobytes()]


def _jpeg(body: bytes, **options: Any) -> Answer:
    return {}, [clean_jpeg(body, **options)]


TASKS: dict[str, Callable[..., Answer]] = {"network": _network, "jpeg": _jpeg}

if __name__ == "__main__":
    main()
