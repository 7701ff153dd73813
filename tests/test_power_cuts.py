"""What somebody was told is stored is on the disk by then: bytes before their name, the name before the answer.

A power cut cannot be made here. The order in which the disk is waited for is seen instead.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from include.ingestion.spool import Spool
from include.lake.local import LocalStore
from tests.ingestion.test_spool import count

KEY = "runs/one/decision.json"
Flushed = list[tuple[str, bool]]  # what was flushed, and whether the name was there by then


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Flushed]:
    """What is flushed from now on, with an eye on one file."""

    def start(target: Path) -> Flushed:
        flushed: Flushed = []

        def fsync(handle: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{handle}"))
            flushed.append(("folder" if path == target.parent else "bytes", target.exists()))

        monkeypatch.setattr(os, "fsync", fsync)
        return flushed

    return start


@pytest.mark.parametrize("how", ["write", "create"])
def test_an_object_of_the_lake(tmp_path: Path, watch: Callable[[Path], Flushed], how: str) -> None:
    store = LocalStore(tmp_path)
    flushed = watch(tmp_path / KEY)
    getattr(store, how)(KEY, b"{}")
    assert flushed == [("bytes", False), ("folder", True)]


def test_what_a_visitor_said(tmp_path: Path, watch: Callable[[Path], Flushed]) -> None:
    spool = Spool(tmp_path / "first")
    spool.put_count("one", count())
    (name,) = (path.name for path in spool.folder.iterdir())
    again = Spool(tmp_path / "again")
    flushed = watch(again.folder / name)
    again.put_count("one", count())
    assert flushed == [("bytes", False), ("folder", True)]
