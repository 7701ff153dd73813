"""Proof that a store keeps what is created once: the lake's owner, its secret, reviews and decisions rely on it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

from include.errors import ObjectNotFound, PreconditionFailed, UnsafeStore
from include.lake import layout
from include.lake.base import ObjectStore

WRITERS = 32  # that create one key at once


def check_write_once(store: ObjectStore) -> None:
    """Create one key twice, then another one by 32 writers at once; the keys are new and are deleted afterwards.

    Raises UnsafeStore where ``create`` does not do what ObjectStore promises. Errors of the network or the server rise
    as they are: they say nothing about the promise. A process that is killed leaves two small objects below
    ``layout.TRIALS``, which nothing reads.
    """
    twice, at_once = layout.trial(f"twice-{uuid4().hex}"), layout.trial(f"at-once-{uuid4().hex}")
    try:
        _create_twice(store, twice)
        _create_at_once(store, at_once)
    finally:
        store.delete(twice)
        store.delete(at_once)


def _create_twice(store: ObjectStore, key: str) -> None:
    if not _creates(store, key, b"first"):
        raise _unsafe(store, "it refused to create a key that did not exist")
    if _creates(store, key, b"second"):
        raise _unsafe(store, "it created one key twice, so that the second writer replaced what the first had written")
    if _read(store, key) != b"first":
        raise _unsafe(store, "a create that it refused changed the object")


def _create_at_once(store: ObjectStore, key: str) -> None:
    start = Barrier(WRITERS, timeout=60)  # seconds: a thread that cannot start must not hold up the others for ever
    bodies = [f"writer {number}".encode() for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        created = list(pool.map(lambda body: _creates(store, key, body, start.wait), bodies))
    winners = [body for body, won in zip(bodies, created, strict=True) if won]
    if len(winners) != 1:
        raise _unsafe(store, f"{len(winners)} of {WRITERS} writers that created one key at once succeeded")
    if _read(store, key) != winners[0]:
        raise _unsafe(store, f"of {WRITERS} writers that created one key at once, it kept what a refused one wrote")


def _creates(store: ObjectStore, key: str, body: bytes, wait: Callable[[], object] = bool) -> bool:
    """Whether the store says that this writer created the object; ``wait`` returns when all writers are ready."""
    wait()
    try:
        store.create(key, body)
    except PreconditionFailed:
        return False
    return True


def _read(store: ObjectStore, key: str) -> bytes:
    try:
        return store.read(key)
    except ObjectNotFound:
        raise _unsafe(store, "an object that it had created was not there when it was read") from None


def _unsafe(store: ObjectStore, fault: str) -> UnsafeStore:
    return UnsafeStore(
        f"{store.name} cannot be a lake: {fault}. Set CAT_LAKE_URL to a store with conditional writes "
        "(If-None-Match): Amazon S3, a folder on a local disk, or a server that passes make test-lake"
    )
