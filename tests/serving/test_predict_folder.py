"""A folder of photos in, a CSV out: the inference command against the real server."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from include.errors import BaseDataMissing, NoModelYet, ServerError
from include.images.decoding import MAX_BYTES
from include.images.photo_files import read_photo
from include.serving import client
from include.serving.predict_folder import BATCH, COLUMNS, _batches, predict_all, read_folder
from include.settings import ROOT, Settings
from tests.pictures import plain
from tests.serving.conftest import Served, answer_with

NOBODY = "http://127.0.0.1:9"


def run(folder: Path, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a person gives it."""
    return subprocess.run(
        [sys.executable, "-m", "include.cli", "predict", str(folder), "--out", str(out)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def fill(folder: Path) -> dict[str, str]:
    """Files of all kinds; what is expected of each: yes, no, or the error."""
    files: dict[str, tuple[bytes, str]] = {
        "a red.jpg": (plain("red"), "yes"),
        "nested/deep/blue.png": (plain("blue", kind="PNG"), "no"),
        "nested/document.pdf": (b"%PDF-1.7 a document", "not_an_image"),
        "nested/empty.jpg": (b"", "empty"),
        "nested/broken off.jpg": (plain(size=(400, 300))[:900], "damaged"),
        'ünïcode/猫 🐈, "quoted".jpg': (plain("red"), "yes"),
        "without ending": (plain("blue"), "no"),
        **{f"many/{number:02}.jpg": (plain("red"), "yes") for number in range(BATCH + 1)},
    }
    for name, (body, _) in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    (folder / ".hidden").write_bytes(b"x")
    (folder / os.fsdecode(b"not utf-8 \xe9.jpg")).write_bytes(plain("red"))
    return {name: expected for name, (_, expected) in files.items()} | {os.fsdecode(b"not utf-8 \xe9.jpg"): "yes"}


def answer_of(row: dict[str, str]) -> str:
    return row["error"].split(":")[0] or {"True": "yes", "False": "no"}[row["is_positive"]]


def test_every_file_is_answered_in_order(served: Served, champion: str, tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "new" / "answers.csv"
    expected = fill(folder)
    done = run(folder, out)
    assert done.returncode == 0, done.stderr
    assert f"{len(expected)} files answered" in done.stdout
    with out.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert reader.fieldnames == COLUMNS == ["file", "probability", "is_positive", "unsure", "model_version", "error"]
    assert {row["file"]: answer_of(row) for row in rows} == expected
    assert [row["file"] for row in rows] == [str(path.relative_to(folder)) for path in read_folder(folder)[0]]
    assert {row["model_version"] for row in rows} == {champion}
    assert all((row["probability"] == "") == bool(row["error"]) for row in rows)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("kind", ["server down", "missing folder", "empty folder"])
def test_what_cannot_work_fails_with_one_sentence(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "photos"
    if kind != "missing folder":
        folder.mkdir()
    if kind == "server down":
        (folder / "red.jpg").write_bytes(plain("red"))
    done = run(folder, tmp_path / "out.csv", CAT_SERVER_URL=NOBODY)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    reason = f"the model server at {NOBODY}" if kind == "server down" else f"no files in {folder}"
    assert reason in done.stderr
    assert list(tmp_path.glob("out.csv*")) == []


def test_batches_hold_so_many_photos_and_bytes() -> None:
    small = [(str(number), b"x") for number in range(7)]
    assert [len(batch) for batch in _batches(small, most=3, most_bytes=100)] == [3, 3, 1]
    large = [("a", b"x" * 50), ("b", b"x" * 50), ("c", b"x" * 50), ("d", b"x" * 101), ("e", None), ("f", b"")]
    batches = _batches(large, most=16, most_bytes=100)
    assert ["".join(name for name, _ in batch) for batch in batches] == ["ab", "c", "d", "ef"]
    assert list(_batches([], most=16, most_bytes=100)) == []


def test_what_is_not_sent_has_an_error_and_keeps_its_place(served: Served, champion: str) -> None:
    photos = [("large", b"x" * (MAX_BYTES + 1)), ("red", plain("red")), ("gone", None), ("blue", plain("blue"))]
    rows = list(predict_all(Settings(), photos))
    assert [(row["file"], row["is_positive"]) for row in rows] == [
        ("large", None),
        ("red", True),
        ("gone", None),
        ("blue", False),
    ]
    assert [(row["error"] or "").split(":")[0] for row in rows] == ["too_many_bytes", "", "unreadable", ""]


def test_a_server_with_tight_limits_takes_every_batch(served: Served, champion: str) -> None:
    """The server of these tests takes 1,000,000 bytes; some photos fit into that alone, some do not."""
    settings = Settings(max_batch=2, max_request_bytes=1_000_000)
    photos = [(f"{size}", plain("red") + bytes(size)) for size in (0, 0, 400_000, 400_000, 740_000, 760_000)]
    rows = list(predict_all(settings, photos))
    assert [row["file"] for row in rows] == [name for name, _ in photos]
    assert [row["is_positive"] for row in rows] == [True] * 5 + [None]
    assert rows[-1]["error"] == "too_many_bytes: at most 749,250 are sent"


def test_a_file_that_vanished_is_unreadable_and_a_huge_one_is_not_read_whole(tmp_path: Path) -> None:
    assert read_photo(tmp_path / "vanished.jpg") is None
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(10 * MAX_BYTES)
    assert len(read_photo(tmp_path / "huge") or b"") == MAX_BYTES + 1


def test_a_folder_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(BaseDataMissing, match=str(tmp_path)):
        read_folder(tmp_path)


def test_before_the_first_champion_the_client_says_what_to_do(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, call in (("/live", lambda: client.live("u")), ("/invocations", lambda: client.predict("u", [b"x"]))):
        answer_with(monkeypatch, served.at_first[path])
        with pytest.raises(NoModelYet, match="no model yet: run the DAG retrain"):
            call()


def test_whatever_else_is_wrong_with_the_server_is_a_server_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerError, match="does not answer .*is it running"):
        client.predict(NOBODY, [b"x"])
    for response in (httpx.Response(500, text="broken"), httpx.Response(200, text="<html>another server")):
        answer_with(monkeypatch, response)
        with pytest.raises(ServerError, match="broken|no model server"):
            client.live("http://somewhere")
