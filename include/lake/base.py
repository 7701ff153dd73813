"""The protocol that every store implements; callers need not know which store they use."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Protocol, TypeVar

from include.errors import InvalidKey, ObjectNotFound, PreconditionFailed

Body = TypeVar("Body")


class ObjectStore(Protocol):
    """Objects are complete or absent: a reader never sees a partial write, even if the writer is killed.

    All methods but ``keys`` raise InvalidKey for a key that ``check_key`` rejects.
    """

    @property
    def name(self) -> str:
        """What people call the store: its folder, or its bucket and server. It holds no credentials."""

    def read(self, key: str) -> bytes:
        """The object's bytes. Raises ObjectNotFound."""

    def write(self, key: str, body: bytes) -> None:
        """Create or replace the object."""

    def create(self, key: str, body: bytes) -> None:
        """Write if absent. Of several concurrent writers exactly one succeeds; the others raise PreconditionFailed."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key that starts with ``prefix``, sorted by UTF-8 bytes."""

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None:
        """Remove the object; a missing key is not an error."""


def check_key(key: str) -> str:
    """Return ``key`` if it is valid both as a relative path and as an S3 key; otherwise raise InvalidKey."""
    parts = key.split("/")
    if not key or any(part in ("", ".", "..") for part in parts) or "\x00" in key or "\\" in key:
        raise InvalidKey(f"key {key!r} must be names joined by single slashes, without '.', '..' or backslashes")
    return key


def create_or_read(store: ObjectStore, key: str, body: bytes) -> bytes:
    """Write ``body`` if the key is absent; return the bytes that are stored, whoever wrote them."""
    with suppress(ObjectNotFound):
        return store.read(key)
    with suppress(PreconditionFailed):
        store.create(key, body)
        return body
    return store.read(key)


def read_many(store: ObjectStore, keys: Iterable[str], *, threads: int = 16) -> Iterator[bytes]:
    """The objects' bytes in the order of ``keys``, at most 16 per thread in memory. Raises ObjectNotFound."""
    return map_many(store.read, keys, threads=threads)


def read_existing(store: ObjectStore, keys: Iterable[str], *, threads: int = 16) -> Iterator[bytes | None]:
    """Like ``read_many``, but with None for each missing object."""

    def read(key: str) -> bytes | None:
        try:
            return store.read(key)
        except ObjectNotFound:
            return None

    return map_many(read, keys, threads=threads)


def map_many(read: Callable[[str], Body], keys: Iterable[str], *, threads: int) -> Iterator[Body]:
    """The results of ``read`` in the order of ``keys``, at most 16 per thread in memory."""
    with ThreadPoolExecutor(threads) as pool:
        for chunk in chunks(keys, 16 * threads):
            yield from pool.map(read, chunk)


def chunks(items: Iterable[Body], size: int) -> Iterator[list[Body]]:
    """The items in order, ``size`` at a time."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk
