"""Somebody's own lake, lent to the tests: it must be empty, and is empty again after each of them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from include.lake.base import ObjectStore, check_key
from include.lake.local import LocalStore
from include.lake.opening import open_lake
from include.settings import Settings

Write = Callable[[str, bytes], None]


def check_empty(settings: Settings) -> None:
    """Ends pytest with one sentence where the lake cannot be listed, or holds anything: it may be somebody's."""
    try:
        lake = open_lake(settings)
        held = next(lake.keys(""), None)
    except Exception as error:
        raise pytest.UsageError(f"the lake {settings.lake} cannot be listed: {error}") from None
    if held is not None:
        raise pytest.UsageError(f"{lake.name} is not empty, it holds {held!r}: name an empty folder or bucket")


@contextmanager
def borrowed(lake: ObjectStore) -> Iterator[ObjectStore]:
    """Deletes what the test wrote, and nothing else."""
    with _folder_within(lake) if isinstance(lake, LocalStore) else _cleared(lake) as empty:
        assert list(empty.keys("")) == [], "an earlier test has left something, or somebody else writes"
        yield empty


@contextmanager
def _folder_within(lake: LocalStore) -> Iterator[ObjectStore]:
    """A folder of its own, because deleted objects leave their folders behind."""
    own = LocalStore(lake.root / f"test-{uuid4().hex}")
    try:
        yield own
    finally:
        shutil.rmtree(own.root, ignore_errors=True)


@contextmanager
def _cleared(lake: ObjectStore) -> Iterator[ObjectStore]:
    written = set[str]()
    for name in ("write", "create"):
        setattr(lake, name, _remembering(getattr(lake, name), written))
    try:
        yield lake
    finally:
        for key in written:
            lake.delete(key)


def _remembering(write: Write, written: set[str]) -> Write:
    def remember(key: str, body: bytes) -> None:
        written.add(check_key(key))
        write(key, body)

    return remember
