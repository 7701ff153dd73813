"""What a visitor was told is kept survives kills, lakes that are down, and visitors who change their mind."""

import hashlib
import logging
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from include.ingestion.spool import Spool, Wish
from include.ingestion.spool_sender import SpoolSender
from include.ingestion.uploads import collect_uploads
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.records import AnswerCount
from include.settings import ROOT
from tests.pictures import plain

PHOTO = plain("teal")


def wish(photo: bytes = PHOTO, *, visitor: str = "v1", kept: bool = True, answer: str | None = "positive") -> Wish:
    sha256, at = hashlib.sha256(photo).hexdigest(), "2026-01-01T00:00:00+00:00"
    return Wish(visitor, sha256, kept, at, 2, "7", 0.9, answer=answer, answered_at=at if answer else None)


def count(answer: str = "positive") -> AnswerCount:
    return AnswerCount("7", "positive", answer, "2026-01-01")


def labels(store: ObjectStore) -> list[Any]:
    return sorted(str(row["label"]) for row in collect_uploads(store))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


class Down:
    """A lake whose writes fail as long as it is down."""

    def __init__(self, lake: LocalStore) -> None:
        self.lake, self.up = lake, False

    def __getattr__(self, name: str) -> Any:
        if not self.up and name in {"write", "create", "delete"}:
            raise OSError(28, "No space left on device")
        return getattr(self.lake, name)


def test_what_is_sent_is_in_the_lake_and_no_longer_here(spool: Spool, store: ObjectStore) -> None:
    spool.put(wish(), PHOTO)
    spool.put_count("c1", count())
    assert spool.waiting() == 2
    assert spool.send(store) == 2
    assert labels(store) == ["positive"]
    assert list(store.keys(layout.COUNTS)) == [layout.answer_count("c1")]
    assert list(spool.folder.iterdir()) == []


def test_only_the_last_wish_counts(spool: Spool, lake: LocalStore) -> None:
    for answer in ("positive", "negative", "neither", "negative"):
        spool.put(wish(answer=answer), PHOTO)
    assert spool.send(lake) == 1
    assert labels(lake) == ["negative"]
    spool.put(wish(answer=None), PHOTO)
    spool.send(lake)
    assert labels(lake) == ["None"]
    assert not list(lake.keys(layout.FEEDBACK))


def test_a_photo_that_was_never_sent_is_taken_back_without_a_trace(spool: Spool, lake: LocalStore) -> None:
    spool.put(wish(), PHOTO)
    spool.put(wish(kept=False, answer=None), b"")
    assert [path.suffix for path in spool.folder.iterdir()] == [".json"], "its picture is deleted at once"
    spool.send(lake)
    assert list(lake.keys("")) == [layout.SECRET]
    assert list(spool.folder.iterdir()) == []


def test_a_count_is_taken_back(spool: Spool, lake: LocalStore) -> None:
    spool.put_count("c1", count())
    spool.send(lake)
    spool.put_count("c1", None)
    spool.send(lake)
    assert not list(lake.keys(layout.COUNTS))


def test_a_lake_that_is_down_loses_nothing_and_stores_nothing_by_half(spool: Spool, lake: LocalStore) -> None:
    down = Down(lake)
    spool.put(wish(), PHOTO)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            spool.send(down)
    assert spool.waiting() == 1
    down.up = True
    spool.send(down)
    assert labels(lake) == ["positive"]


def test_a_kill_at_each_write_of_the_lake_comes_to_the_same(spool: Spool, lake: LocalStore) -> None:
    """Give, take back and give again, with the lake failing before its first, second, third ... write of each."""

    class Failing(Down):
        left = 0

        def __getattr__(self, name: str) -> Any:
            if name in {"write", "create", "delete"}:
                if self.left == 0:
                    raise OSError("killed here")
                self.left -= 1
            return getattr(self.lake, name)

    failing = Failing(lake)
    for desired, expected in [(wish(), ["positive"]), (wish(kept=False), []), (wish(answer="negative"), ["negative"])]:
        for writes in range(12):
            spool.put(desired, PHOTO)
            failing.left = writes
            try:
                spool.send(failing)
            except OSError:
                assert spool.waiting() == 1
        assert spool.waiting() == 0
        assert labels(lake) == expected


def test_a_wish_that_changes_while_it_is_sent_is_sent_again(spool: Spool, lake: LocalStore) -> None:
    class Changing(Down):
        def __getattr__(self, name: str) -> Any:
            if name == "write" and not self.up:
                self.up = True
                spool.put(wish(kept=False, answer=None), b"")
            return getattr(self.lake, name)

    spool.put(wish(), PHOTO)
    spool.send(Changing(lake))
    assert spool.waiting() == 1
    spool.send(lake)
    assert spool.waiting() == 0
    assert labels(lake) == []
    assert not [key for key in lake.keys(layout.UPLOADS)]


def test_a_damaged_file_is_set_aside_and_stops_nothing(
    spool: Spool, lake: LocalStore, caplog: pytest.LogCaptureFixture
) -> None:
    spool.put(wish(), PHOTO)
    spool.put(wish(visitor="v2"), PHOTO)
    (spool.folder / f"{wish().name}.jpg").write_bytes(b"torn")
    (spool.folder / "odd.count.json").write_bytes(b"{")
    assert spool.send(lake) == 1
    assert labels(lake) == ["positive"]
    assert spool.waiting() == 0
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2
    assert len(list(spool.folder.glob("*.refused"))) == 2


def test_a_kill_after_put_loses_nothing(spool: Spool, lake: LocalStore) -> None:
    program = f"""
import os, signal
from pathlib import Path
from tests.ingestion.test_spool import PHOTO, Spool, count, wish
spool = Spool(Path({str(spool.folder)!r}))
spool.put(wish(), PHOTO)
spool.put_count("c1", count())
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ended.returncode == -signal.SIGKILL
    assert spool.send(lake) == 2
    assert labels(lake) == ["positive"]


def test_many_visitors_at_once_each_get_what_they_wanted_last(spool: Spool, lake: LocalStore) -> None:
    """Eight writers with twelve wishes each, while one thread sends all the time."""
    ended, wanted = Event(), {}

    def visit(name: str) -> None:
        rng = random.Random(name)
        for _ in range(12):
            answer = rng.choice(["positive", "negative", None])
            desired = wish(visitor=name, kept=answer is not None, answer=answer)
            spool.put(desired, PHOTO)
        wanted[name] = answer

    def send() -> None:
        while not ended.is_set():
            spool.send(lake)

    sender, visitors = Thread(target=send), [Thread(target=visit, args=(f"v{number}",)) for number in range(8)]
    for thread in (sender, *visitors):
        thread.start()
    for thread in visitors:
        thread.join()
    ended.set()
    sender.join()
    spool.send(lake)
    assert spool.waiting() == 0
    assert labels(lake) == sorted(answer for answer in wanted.values() if answer)


def test_the_sender_goes_on_after_a_failure(spool: Spool, lake: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.ingestion.spool_sender.PAUSE", 0.01)
    tried, sent = Event(), Event()

    def open_store() -> Any:
        if not tried.is_set():
            tried.set()
            raise OSError("the lake is down")
        sent.set()
        return lake

    spool.put(wish(), PHOTO)
    sender = SpoolSender(spool, open_store)
    sender.start()
    assert sent.wait(timeout=60)
    sender.stop()
    assert labels(lake) == ["positive"]
