"""uvicorn's connections, with an end to those that stand still: uvicorn waits for ever for headers and for readers."""

from asyncio import TimerHandle, Transport
from dataclasses import dataclass, field

from uvicorn.protocols.http.h11_impl import H11Protocol

STATE = "connections"  # in the state of the app, which each connection sees: an OpenConnections


@dataclass
class OpenConnections:
    """At most ``most``: beyond them the one that has been without a request for the longest time is closed.

    Headers have ``header_seconds``, and a client has ``read_seconds`` to read an answer.
    """

    most: int
    header_seconds: float
    read_seconds: float
    idle: dict["BoundedConnection", None] = field(default_factory=dict)  # the oldest first


class BoundedConnection(H11Protocol):
    """What uvicorn makes for each connection; its own clock runs only between requests (``timeout_keep_alive``)."""

    _headers: TimerHandle | None = None
    _reader: TimerHandle | None = None

    @property
    def _open(self) -> OpenConnections:
        limits: OpenConnections = self.app_state[STATE]
        return limits

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_clock()
        if len(self.connections) > self._open.most:
            next(iter(self._open.idle)).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers, self._reader = _stop(self._headers), _stop(self._reader)
        self._open.idle.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._set_clock()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._set_clock()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader = self.loop.call_later(self._open.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._reader = _stop(self._reader)
        super().resume_writing()

    def _set_clock(self) -> None:
        """Run it from the first byte of headers, or from the start of the connection, until they are complete."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._headers = _stop(self._headers)
            self._open.idle.pop(self, None)
            return
        self._open.idle.setdefault(self)
        if self._headers is None and self.timeout_keep_alive_task is None:
            self._headers = self.loop.call_later(self._open.header_seconds, self.transport.abort)


def _stop(clock: TimerHandle | None) -> TimerHandle | None:
    if clock:
        clock.cancel()
    return None
