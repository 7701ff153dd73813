"""Answers about a folder or all uploads, as one object in the lake, from the real server."""

import json

from include.lake import layout
from include.serving.batch import predict_batch
from tests.pictures import give, plain


def rows_of(lake, told: dict) -> dict[str, dict]:
    rows = [json.loads(line) for line in lake.read(told["key"]).decode().splitlines()]
    assert len(rows) == told["photos"]
    return {row["file"]: row for row in rows}


def said(row: dict) -> tuple:
    return row["is_cat"], (row["error"] or "").split(":")[0]


def test_every_upload_is_answered_and_a_missing_photo_stops_none(served, champion, lake):
    for name, colour in (("p1", "red"), ("p2", "red"), ("p3", "blue")):
        give(lake, name, plain(colour), "cat")
    lake.delete(layout.upload_photo("p2"))
    rows = rows_of(lake, predict_batch(lake, "r1", ""))
    answers = {layout.photo_id_of(key): said(row) for key, row in rows.items()}
    assert answers == {"p1": (True, ""), "p2": (None, "unreadable"), "p3": (False, "")}
    assert rows[layout.upload_photo("p1")]["model_version"] == champion


def test_a_second_try_writes_the_same_key_again(served, champion, lake, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(plain("red"))
    first = predict_batch(lake, "r1", str(tmp_path / "photos"))
    assert predict_batch(lake, "r1", str(tmp_path / "photos")) == first
    assert {name: said(row) for name, row in rows_of(lake, first).items()} == {"a.jpg": (True, "")}
    assert list(lake.keys("predictions/")) == [first["key"]]


def test_without_any_upload_the_answers_are_empty(served, champion, lake):
    told = predict_batch(lake, "r1", "")
    assert (told["photos"], lake.read(told["key"])) == (0, b"")
