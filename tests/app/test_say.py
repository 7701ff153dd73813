"""A visitor's say: one tap, changed and undone; counted without consent, stored with it; and what it promises is so."""

import io
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app import say, services
from include.ingestion.uploads import collect_uploads
from include.lake import layout
from include.lake.local import LocalStore
from tests.app.conftest import SCRIPT, forget_cached
from tests.app.stand_in import ModelServer
from tests.app.visitor import answer_to, button, click, consent, counts, send_all, show, uploads, withdraw, words
from tests.pictures import drawing, encode, plain


def only(lake: LocalStore) -> str:
    (photo_id,) = uploads(lake)
    return photo_id


def stored(lake: LocalStore) -> dict[str, bytes]:
    send_all(lake)
    return {key: lake.read(key) for key in lake.keys("")}


def with_place(photo: bytes) -> bytes:
    """A JPEG as a telephone leaves it: its maker, its place on earth, a comment, and its orientation."""
    exif = Image.Exif()
    exif[0x010F] = "Purrfect Phones"
    exif[0x0112] = 6  # rotated by a quarter
    exif.get_ifd(0x8825).update({1: "N", 2: (59.0, 20.0, 5.0), 3: "E", 4: (18.0, 3.0, 45.0)})
    return encode(Image.open(io.BytesIO(photo)), exif=exif, comment=b"taken at home")


def test_without_consent_an_answer_is_counted_and_nothing_else(
    page: AppTest, answering: ModelServer, lake: LocalStore
) -> None:
    show(page, drawing("cats", 1))
    assert page.checkbox[0].value is False
    assert "Your answer is counted. The photo is not kept." in words(click(page, "Wrong"))
    day = datetime.now(UTC).date().isoformat()
    assert counts(lake) == [{"model_version": "7", "verdict": "positive", "answer": "negative", "day": day}]
    assert all(key.startswith(layout.COUNTS) for key in lake.keys(""))
    assert not services.get_spool().waiting()


def test_a_second_tap_changes_the_answer_and_says_so(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    consent(show(page, drawing("cats", 1)))
    click(page, "Wrong")
    assert "Changed" in words(click(page, "Right"))
    assert button(page, "Right").label == "✓ Right"
    assert [count["answer"] for count in counts(lake)] == ["positive"]
    assert uploads(lake) == {only(lake): "positive"}


def test_a_double_click_and_reruns_change_nothing(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    consent(show(page, drawing("cats", 1)))
    click(page, "Right")
    before = stored(lake)
    for _ in range(3):
        page.run()
    click(page, "Right")
    assert stored(lake) == before
    assert len(counts(lake)) == len(uploads(lake)) == 1


def test_with_consent_photo_record_and_answer_are_stored(
    page: AppTest, answering: ModelServer, lake: LocalStore
) -> None:
    consent(show(page, drawing("cats", 1)))
    click(page, "Right")
    photo_id = only(lake)
    record = json.loads(lake.read(layout.upload_record(photo_id)))
    assert (record["model_version"], record["probability"], record["consent_version"]) == ("7", 0.97, 2)
    assert record["session"] != page.session_state["visitor"]
    assert answer_to(lake, photo_id) == "positive"
    everything = b"".join(stored(lake).values())
    assert page.session_state["visitor"].encode() not in everything


def test_an_answer_before_consent_is_stored_with_the_photo(
    page: AppTest, answering: ModelServer, lake: LocalStore
) -> None:
    click(show(page, drawing("cats", 1)), "Wrong")
    consent(page)
    assert list(uploads(lake).values()) == ["negative"]
    assert len(counts(lake)) == 1


def test_storing_needs_no_model_server(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    show(page, drawing("cats", 1))
    answering.status = 500
    consent(page)
    click(page, "Wrong")
    assert list(uploads(lake).values()) == ["negative"]
    assert answering.verdicts == 1


def test_a_photo_that_is_taken_back_leaves_a_tombstone_and_its_count(
    page: AppTest, answering: ModelServer, lake: LocalStore
) -> None:
    consent(show(page, drawing("cats", 1)))
    click(page, "Right")
    photo_id = only(lake)
    lake.write(layout.upload_facts(photo_id), b"{}")
    lake.write(layout.upload_embeddings(photo_id, "v"), b"x")
    assert "Taken back: the photo is deleted. Your answer still counts" in words(withdraw(page))
    after = stored(lake)
    tombstone = layout.tombstone(layout.upload_photo(photo_id))
    assert {key for key in after if photo_id in key} == {tombstone}
    assert json.loads(after[tombstone])["reason"] == "taken back"
    assert [count["answer"] for count in counts(lake)] == ["positive"]


def test_undo_leaves_nothing_but_the_tombstone(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    consent(show(page, drawing("cats", 1)))
    click(page, "Right")
    photo_id = only(lake)
    assert "Undone" in words(click(page, "Undo"))
    assert page.checkbox[0].value is False
    assert set(stored(lake)) == {layout.SECRET, layout.tombstone(layout.upload_photo(photo_id))}
    assert button(page, "Right").label == "Right"


def test_a_photo_that_was_taken_back_may_be_given_again(
    page: AppTest, answering: ModelServer, lake: LocalStore
) -> None:
    consent(show(page, drawing("cats", 1)))
    photo_id = only(lake)
    withdraw(page)
    assert collect_uploads(lake) == [] or not uploads(lake)
    consent(page)
    click(page, "Wrong")
    assert uploads(lake) == {photo_id: "negative"}
    assert not list(lake.keys(layout.TOMBSTONES))
    assert [row["label"] for row in collect_uploads(lake)] == ["negative"]


def test_photos_given_before_can_be_taken_back_too(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    for number in (1, 2):
        consent(show(page, drawing("cats", number)))
    show(page, drawing("cats", 3))
    assert "Photos that you let stay before: 2." in words(page)
    assert len(uploads(lake)) == 2
    click(page, "Take them all back")
    assert not uploads(lake)
    assert len(list(lake.keys(layout.TOMBSTONES))) == 2
    assert "let stay before" not in words(page)


def test_photos_that_cannot_be_taken_back_now_can_be_later(
    page: AppTest, answering: ModelServer, lake: LocalStore
) -> None:
    consent(show(page, drawing("cats", 1)))
    assert len(uploads(lake)) == 1
    click(page, "Another photo")
    folder = services.get_settings().spool
    folder.rmdir()
    folder.write_bytes(b"")
    assert "could not be saved just now" in words(click(page, "Take them all back"))
    folder.unlink()
    click(page, "Take them all back")
    assert not uploads(lake)


def test_a_visitor_without_a_browser_gives_the_same(lake: LocalStore) -> None:
    photo_id = say.give(lake, services.clean(drawing("cats", 1)), visitor="v", verdict=None, answer="positive")
    assert uploads(lake) == {photo_id: "positive"}


def test_consent_is_for_one_photo_not_for_the_next(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    click(consent(show(page, drawing("cats", 1))), "Right")
    before = uploads(lake)
    show(page, drawing("cats", 2))
    assert page.checkbox[0].value is False
    assert button(page, "Right").label == "Right"
    click(page, "Neither")
    assert uploads(lake) == before


def test_the_same_photo_given_again_is_the_same_upload(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    consent(show(page, drawing("cats", 1)))
    consent(show(page, drawing("cats", 1), name="again.jpg"))
    assert len(uploads(lake)) == 1


def test_two_visitors_in_the_same_second_are_two_uploads(answering: ModelServer, lake: LocalStore) -> None:
    pages = [AppTest.from_file(SCRIPT, default_timeout=30) for _ in range(2)]
    for page, answer in zip(pages, ("Right", "Wrong"), strict=True):
        click(consent(show(page, drawing("cats", 1))), answer)
    assert sorted(map(str, uploads(lake).values())) == ["negative", "positive"]
    sessions = {json.loads(lake.read(layout.upload_record(photo_id)))["session"] for photo_id in uploads(lake)}
    assert len(sessions) == 2
    assert len(counts(lake)) == 2


def test_what_it_promises_depends_on_the_photo(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    promises = dict[bool, bool]()
    for number in range(40):
        photo = drawing("cats", number)
        if promises.keys() >= {True, False}:
            break
        shown = words(click(consent(show(page, photo)), "Right"))
        promises["next training uses them" in shown] = "waits until a person has reviewed it" in shown
    assert promises == {True: False, False: True}


def test_the_stored_photo_has_no_exif_and_is_upright(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    given = with_place(plain(size=(64, 48)))
    assert Image.open(io.BytesIO(given)).getexif().get_ifd(0x8825)[1] == "N"
    consent(show(page, given))
    body = lake.read(layout.upload_photo(only(lake)))
    kept = Image.open(io.BytesIO(body))
    assert (kept.format, kept.size) == ("JPEG", (48, 64))
    assert not dict(kept.getexif())
    assert not {"exif", "comment", "icc_profile", "xmp"} & set(kept.info)
    assert not any(trace in body for trace in (b"Exif", b"Purrfect", b"taken at home"))
    (sent,) = answering.requests[0]["photos"]
    assert sent == body, "the model server gets the same copy"


def test_a_large_photo_is_kept_smaller(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    consent(show(page, plain(size=(3000, 2000))))
    kept = Image.open(io.BytesIO(lake.read(layout.upload_photo(only(lake)))))
    assert kept.size == (1024, 683)


@pytest.fixture
def broken(lake: LocalStore) -> Callable[[], None]:
    """From its call on nothing can be stored in the lake: a file is where its folder was."""

    def broken() -> None:
        if lake.root.exists():
            lake.root.rename(lake.root.with_name("aside"))
        lake.root.write_bytes(b"")

    return broken


def mend(lake: LocalStore) -> None:
    lake.root.unlink()
    if (aside := lake.root.with_name("aside")).exists():
        aside.rename(lake.root)


def test_what_is_confirmed_while_the_lake_is_down_reaches_it_after_a_restart(
    page: AppTest, answering: ModelServer, lake: LocalStore, broken: Callable[[], None]
) -> None:
    broken()
    consent(show(page, drawing("cats", 1)))
    assert "Photo and answer are kept" in words(click(page, "Wrong"))
    folder = services.get_settings().spool
    files = list(folder.iterdir())
    assert len(files) == 3
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    services.get_sender().stop()
    forget_cached()  # another process
    mend(lake)
    services.get_sender()
    assert list(uploads(lake).values()) == ["negative"]
    assert [count["answer"] for count in counts(lake)] == ["negative"]
    assert not list(folder.iterdir())


def test_a_lake_that_hangs_holds_up_no_page(
    page: AppTest, answering: ModelServer, lake: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    awake = Event()

    class Hanging:
        def __getattr__(self, name: str) -> Any:
            awake.wait()
            return getattr(lake, name)

    monkeypatch.setattr("app.services.open_lake", lambda _: Hanging())
    assert "You are a cat!" in words(consent(show(page, drawing("cats", 1))))
    assert "Photo and answer are kept" in words(click(page, "Wrong"))
    assert "Undone" in words(click(page, "Undo"))
    click(page, "Wrong")
    assert services.get_spool().waiting() == 2
    assert not lake.root.exists()
    awake.set()
    assert [count["answer"] for count in counts(lake)] == ["negative"]
    assert not uploads(lake)


def test_a_full_disk_confirms_nothing_and_the_visitor_may_try_again(
    page: AppTest, answering: ModelServer, lake: LocalStore
) -> None:
    show(page, drawing("cats", 1))
    folder = services.get_settings().spool
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_bytes(b"")  # a file is where the spool's folder would be
    for act in (lambda: click(page, "Wrong"), lambda: consent(page)):
        shown = words(act())
        assert "could not be saved just now" in shown
        assert "Thank you" not in shown
        assert str(folder) not in shown
    assert page.checkbox[0].value is False
    folder.unlink()
    assert "Thank you" in words(click(page, "Wrong"))
    assert "could not be saved" not in words(page)
    consent(page)
    assert list(uploads(lake).values()) == ["negative"]
