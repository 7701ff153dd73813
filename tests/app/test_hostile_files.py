"""Files that visitors bring by mistake or to do harm: a verdict, or a friendly sentence and nothing stored."""

import io

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.choosing import read_upload
from app.monitoring import REGISTRY
from include.errors import TransientError
from include.lake.local import LocalStore
from tests.app.hostile import CORPUS, EITHER, VERDICT, Odd
from tests.app.stand_in import ModelServer
from tests.app.visitor import counts, show, words
from tests.pictures import drawing

TECHNICAL = ("Traceback", "Error", "PIL", "0x", "NoneType", "not_an_image")


@pytest.mark.parametrize("odd", CORPUS, ids=lambda odd: odd.name)
def test_each_file_becomes_a_photo_or_a_friendly_sentence(odd: Odd) -> None:
    shown, sentence = read_upload(odd.make())
    if shown is None:
        assert odd.gets == EITHER or odd.gets in sentence
        assert sentence.endswith(".")
        assert not any(word in sentence for word in TECHNICAL)
        return
    assert odd.gets in (VERDICT, EITHER)
    with Image.open(io.BytesIO(shown.photo)) as photo:
        assert (photo.format, photo.mode) == ("JPEG", "RGB")
        assert not photo.info.keys() & {"exif", "comment", "icc_profile"}
    assert not any(payload in shown.photo for payload in (b"<?php", b"<script", b"payload.sh"))


def test_the_corpus_is_large() -> None:
    assert len({odd.name for odd in CORPUS}) == len(CORPUS) >= 40


def test_refused_files_are_counted_by_reason() -> None:
    def counted(reason: str) -> float:
        return REGISTRY.get_sample_value("cat_app_user_errors_total", {"reason": reason}) or 0.0

    before = {reason: counted(reason) for reason in ("empty", "damaged", "not_an_image")}
    for name in ("empty.jpg", "invoice.pdf", "page.html.jpg"):
        read_upload(next(odd for odd in CORPUS if odd.name == name).make())
    grown = {reason: counted(reason) - before[reason] for reason in before}
    assert grown == {"empty": 1, "damaged": 0, "not_an_image": 2}


def test_refused_files_are_told_on_the_page_and_do_not_pile_up(
    page: AppTest, answering: ModelServer, lake: LocalStore
) -> None:
    for odd in (CORPUS[0], next(odd for odd in CORPUS if odd.name == "IMG_0001.HEIC")):
        show(page, odd.make(), name=odd.name)
        (error,) = page.error
        assert odd.gets in error.value
        assert page.file_uploader[0].value is None
    assert answering.requests == []
    assert not counts(lake)
    assert not list(lake.keys(""))
    assert "You are a cat!" in words(show(page, drawing("cats", 1)))
    assert not page.error


def test_too_many_photos_at_once_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> bytes:
        raise TransientError("more photos wait than may wait")

    monkeypatch.setattr("app.services.clean", fail)
    shown, sentence = read_upload(drawing("cats", 1))
    assert shown is None
    assert sentence == "Many people are showing photos just now: try again in a minute."


def test_a_machine_that_cannot_decode_is_not_the_visitors_fault(
    page: AppTest, answering: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> bytes:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("app.services.clean", fail)
        show(page, drawing("cats", 1))
        assert "it is not your fault" in words(page)
    assert "You are a cat!" in words(show(page, drawing("cats", 1)))
