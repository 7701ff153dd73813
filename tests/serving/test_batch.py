"""Answers about a folder or all uploads, as one object in the lake, from the real server."""

import json
from pathlib import Path
from typing import Any

import pytest

from include.ingestion.uploads import collect_uploads
from include.lake import layout
from include.lake.local import LocalStore
from include.serving import batch
from include.serving.batch import predict_batch
from include.settings import Settings
from tests.pictures import give, plain
from tests.serving.conftest import Served

DAY = "2026-01-01"


def rows_of(lake: LocalStore, result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in lake.read(result["key"]).decode().splitlines()]
    assert len(rows) == result["photos"]
    return {row["file"]: row for row in rows}


def verdict_of(row: dict[str, Any]) -> tuple[bool | None, str]:
    return row["is_positive"], (row["error"] or "").split(":")[0]


def test_every_upload_is_answered_and_one_that_goes_meanwhile_stops_none(
    served: Served, champion: str, lake: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, colour in (("p1", "red"), ("p2", "red"), ("p3", "blue")):
        give(lake, name, plain(colour), "positive")
    listed = collect_uploads(lake)
    monkeypatch.setattr(batch, "collect_uploads", lambda _: listed)
    lake.delete(layout.upload_photo("p2"))
    rows = rows_of(lake, predict_batch(lake, "r1", Settings(), folder=None, day=DAY))
    answers = {layout.photo_id_of(key): verdict_of(row) for key, row in rows.items()}
    assert answers == {"p1": (True, ""), "p2": (None, "unreadable"), "p3": (False, "")}
    assert rows[layout.upload_photo("p1")]["model_version"] == champion


def test_a_retry_writes_the_same_key_again(served: Served, champion: str, lake: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(plain("red"))
    folder = tmp_path / "photos"
    first = predict_batch(lake, "r1", Settings(), folder=folder, day=DAY)
    assert predict_batch(lake, "r1", Settings(), folder=folder, day=DAY) == first
    assert {name: verdict_of(row) for name, row in rows_of(lake, first).items()} == {"a.jpg": (True, "")}
    assert list(lake.keys("predictions/")) == [first["key"]]


def test_without_any_upload_the_answers_are_empty(served: Served, champion: str, lake: LocalStore) -> None:
    result = predict_batch(lake, "r1", Settings(), folder=None, day=DAY)
    assert (result["photos"], lake.read(str(result["key"]))) == (0, b"")
