"""moto's S3 server with conditional writes that hold: `python -m stack.s3_server -H HOST -p PORT`.

moto looks whether a key exists and writes it afterwards, in threads: 2 of 32 writers that create one key at once may
both succeed. Under a lock one of them does, as on Amazon S3.
"""

from threading import Lock
from typing import Any


def main() -> None:
    """Serve until a signal, with the options of moto_server."""
    from moto.s3.responses import S3Response
    from moto.server import main as serve

    put_object, one_at_a_time = S3Response.put_object, Lock()

    def put_object_alone(response: Any) -> Any:
        with one_at_a_time:
            return put_object(response)

    setattr(S3Response, put_object.__name__, put_object_alone)
    serve()


if __name__ == "__main__":
    main()
