"""The protocol that every store follows; callers never ask which one they hold."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Protocol, TypeVar

from include.errors import InvalidKey, ObjectNotFound, PreconditionFailed

Body = TypeVar("Body")


class ObjectStore(Protocol):
    """Objects are whole or absent: no reader ever sees half a write, whoever is interrupted."""

    def read(self, key: str) -> bytes:
        """The object's bytes; raises ObjectNotFound."""

    def write(self, key: str, body: bytes) -> None:
        """Create or replace."""

    def create(self, key: str, body: bytes) -> None:
        """Write if absent; of several writers exactly one succeeds, the others get PreconditionFailed."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key that starts with ``prefix``, in the order of their UTF-8 bytes."""

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None:
        """Remove; an absent key is no error."""


def check_key(key: str) -> str:
    """A key that works as a path and as an S3 key; raises InvalidKey."""
    parts = key.split("/")
    if not key or any(part in ("", ".", "..") for part in parts) or "\x00" in key or "\\" in key:
        raise InvalidKey(f"key {key!r} must be names joined by single slashes, without '.', '..' or backslashes")
    return key


def create_or_read(store: ObjectStore, key: str, body: bytes) -> bytes:
    """Write once, by whoever comes first; everybody gets the bytes that stand there."""
    with suppress(PreconditionFailed):
        store.create(key, body)
        return body
    return store.read(key)


def read_many(store: ObjectStore, keys: Iterable[str], *, threads: int = 16) -> Iterator[bytes]:
    """The objects in the order of ``keys``; at most a few hundred are held at a time. Raises ObjectNotFound."""
    return map_many(store.read, keys, threads=threads)


def read_existing(store: ObjectStore, keys: Iterable[str], *, threads: int = 16) -> Iterator[bytes | None]:
    """The same where objects may be missing: none in their place."""

    def read(key: str) -> bytes | None:
        try:
            return store.read(key)
        except ObjectNotFound:
            return None

    return map_many(read, keys, threads=threads)


def map_many(read: Callable[[str], Body], keys: Iterable[str], *, threads: int) -> Iterator[Body]:
    """The results of ``read`` in the order of ``keys``; at most sixteen a thread are held at a time."""
    waiting = iter(keys)
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(waiting, 16 * threads)):
            yield from pool.map(read, some)
