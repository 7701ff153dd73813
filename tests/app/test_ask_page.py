"""A photo on the page: one verdict for it alone, in words that fit, and no error that becomes a stack trace."""

import gc
import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.shown import Shown
from include.images.decoding import MAX_BYTES
from include.lake import layout
from include.lake.formats import write_json
from include.lake.local import LocalStore
from tests.app.conftest import forget_cached
from tests.app.stand_in import VERDICT, ModelServer
from tests.app.visitor import button, click, consent, counts, show, uploads, words
from tests.conftest import free_port
from tests.pictures import drawing


def test_before_a_photo_it_says_what_it_is(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    shown = words(page.run())
    assert "a model that learns from its visitors" in shown
    assert f"up to {MAX_BYTES // 1_000_000} MB" in shown
    assert not page.exception
    assert answering.requests == []
    assert not list(lake.keys(""))


def test_a_photo_gets_verdict_probability_and_version(page: AppTest, answering: ModelServer) -> None:
    shown = words(show(page, drawing("cats", 1)))
    assert "You are a cat!" in shown
    assert "A cat: 97 %." in shown
    assert "Model version 7 answered" in shown
    assert button(page, "Right")


def test_the_shares_of_all_sources_are_shown(page: AppTest, answering: ModelServer) -> None:
    answering.verdict |= {"probability": 0.02, "is_positive": False, "shares": [0.02, 0.9, 0.0, 0.08]}
    shown = words(show(page, drawing("dogs", 1)))
    assert "Most like a dog: 90 %" in shown
    html = "".join(block.proto.body for block in page.get("html"))
    for name in ("a cat", "a dog", "a person", "something else"):
        assert f"<span>{name}</span>" in html


def test_no_click_asks_again(page: AppTest, answering: ModelServer) -> None:
    show(page, drawing("cats", 1))
    for answer in ("Right", "Wrong", "Neither"):
        click(page, answer)
    consent(page)
    page.run()
    assert answering.verdicts == 1


def test_each_photo_has_its_own_verdict(page: AppTest, answering: ModelServer) -> None:
    assert "You are a cat!" in words(show(page, drawing("cats", 1)))
    click(page, "Another photo")
    assert "You are a cat!" not in words(page)
    answering.verdict |= {"probability": 0.03, "is_positive": False}
    shown = words(show(page, drawing("dogs", 1)))
    assert "You are not a cat" in shown
    assert "You are a cat!" not in shown
    assert page.checkbox[0].value is False
    assert answering.verdicts == 2


def test_while_the_next_photo_is_looked_at_no_old_verdict_stands_there(page: AppTest, answering: ModelServer) -> None:
    show(page, drawing("cats", 1))
    answering.status = 500
    shown = words(show(page, drawing("dogs", 1)))
    assert "You are a cat!" not in shown
    assert not [button for button in page.button if button.label == "Right"]


@pytest.mark.slow
def test_photos_that_were_shown_before_are_forgotten(page: AppTest, answering: ModelServer) -> None:
    """Streamlit keeps what callbacks are given; a session of many photos must not hold them all."""
    for number in range(4):
        consent(click(show(page, drawing("cats", number)), "Why?"))
        click(page, "Right")
    gc.collect()
    ours = page.session_state["shown"].photo
    assert sum(1 for held in gc.get_objects() if isinstance(held, Shown) and held.photo == ours) == 1
    others = [held for held in gc.get_objects() if isinstance(held, Shown) and held.photo != ours]
    assert not [held for held in others if held.id in page.session_state["kept"]]


def test_why_asks_once_and_only_on_demand(page: AppTest, answering: ModelServer) -> None:
    show(page, drawing("cats", 1))
    assert len(answering.requests) == 1
    click(page, "Why?")
    assert [request["explain"] for request in answering.requests] == [False, True]
    assert "Red speaks for a cat" in words(page)
    click(page, "Hide the reason")
    assert "Red speaks" not in words(page)
    click(page, "Why?")
    assert len(answering.requests) == 2


def test_a_reason_that_cannot_be_had_leaves_the_verdict(page: AppTest, answering: ModelServer) -> None:
    show(page, drawing("cats", 1))
    answering.status = 503
    shown = words(click(page, "Why?"))
    assert "cannot give its reason right now" in shown
    assert "You are a cat!" in shown
    answering.status = 200
    assert "Red speaks" in words(click(page, "Why?"))
    assert "cannot give its reason" not in words(page)


def test_each_request_carries_an_id(page: AppTest, answering: ModelServer) -> None:
    show(page, drawing("cats", 1))
    click(page, "Why?")
    ids = [request["id"] for request in answering.requests]
    assert len(set(ids)) == 2
    assert all(ids)


def test_the_page_says_how_good_the_model_is(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    interval = {"value": 0.98, "low": 0.96, "high": 1.0}
    report = {
        "version": "7",
        "sha256": "live",
        "registered_at": "2026-11-20T10:00:00+00:00",
        "test": {"precision": interval, "recall": interval | {"value": 0.97}},
        "summary": "Version 7 is better.",
        "statuses": {},
    }
    write_json(lake, layout.run_report("r1"), report)
    write_json(lake, layout.run_report("r2"), report | {"sha256": "another under the same number", "version": "7"})
    shown = words(show(page, drawing("cats", 1)))
    assert "trained on 20 November 2026" in shown
    assert "98 of 100 (96 to 100)" in shown
    assert "finds 97 of 100" in shown


def test_the_page_asks_the_question_of_the_settings(
    page: AppTest, answering: ModelServer, lake: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAT_QUESTION__TEXT", "Is it an owl?")
    monkeypatch.setenv("CAT_QUESTION__NOUN", "an owl")
    monkeypatch.setenv("CAT_QUESTION__SOURCES", "owls,others")
    monkeypatch.setenv("CAT_QUESTION__POSITIVE", "owls")
    forget_cached()
    page.run()
    assert not [button for button in page.button if button.label == "Cat"], "nobody drew owls"
    shown = words(show(page, drawing("cats", 1)))
    assert "Is it an owl?" in shown
    assert "You are an owl!" in shown
    assert " cat" not in shown
    click(consent(page), "Wrong")
    assert list(uploads(lake).values()) == ["negative"]


def test_a_drawn_example_gets_a_verdict_and_no_say(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    page.run()
    click(page, "Dog")
    assert "You are a cat!" in words(page)
    assert answering.verdicts == 1
    assert not page.checkbox
    assert not [button for button in page.button if button.label == "Right"]
    assert not counts(lake)


def test_a_photo_that_the_model_cannot_read_gets_a_friendly_sentence(page: AppTest, answering: ModelServer) -> None:
    answering.verdict |= {"probability": None, "is_positive": None, "unsure": None, "error": "damaged: it breaks off"}
    assert "Try another one" in words(show(page, drawing("cats", 1)))
    assert not page.checkbox


NONSENSE = [b"", b"<html>", b"[]", b"null", b"{}", b'{"predictions": []}', b'{"predictions": [{"probability": 0.5}]}']
NONSENSE += [json.dumps({"predictions": [VERDICT, VERDICT]}).encode()]  # two verdicts about one photo


@pytest.mark.parametrize("body", NONSENSE, ids=repr)
def test_a_server_that_answers_nonsense_gets_a_friendly_sentence(
    page: AppTest, answering: ModelServer, body: bytes
) -> None:
    answering.body = body
    assert "does not answer right now" in words(show(page, drawing("cats", 1)))
    answering.body = None
    assert "You are a cat!" in words(click(page, "Ask again"))


@pytest.mark.parametrize(
    "verdict", [{"probability": float("nan")}, {"probability": 1.5}, {"is_positive": None}], ids=repr
)
def test_a_verdict_that_cannot_be_is_none(page: AppTest, answering: ModelServer, verdict: dict[str, Any]) -> None:
    answering.verdict |= verdict
    assert "does not answer right now" in words(show(page, drawing("cats", 1)))


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (503, None, "No model is ready yet"),
        (503, b'{"error": "starting"}', "The model is starting"),
        (500, None, "does not answer"),
    ],
)
def test_a_server_without_an_answer_gets_a_friendly_sentence(
    page: AppTest, answering: ModelServer, lake: LocalStore, status: int, body: bytes | None, text: str
) -> None:
    answering.status, answering.body = status, body
    assert text in words(show(page, drawing("cats", 1)))
    assert not page.checkbox
    page.run()
    assert answering.verdicts == 1, "no rerun asks again"
    answering.status, answering.body = 200, None
    assert "You are a cat!" in words(click(page, "Ask again"))
    assert not list(lake.keys(""))


def test_a_server_that_is_down_or_slow_gets_a_friendly_sentence(
    page: AppTest, answering: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAT_VERDICT_SECONDS", "0.2")
    forget_cached()
    answering.open.clear()
    shown = words(show(page, drawing("cats", 1)))
    assert "does not answer right now" in shown
    monkeypatch.setenv("CAT_SERVER_URL", f"http://127.0.0.1:{free_port()}")
    forget_cached()
    shown = words(click(page, "Ask again"))
    assert "does not answer right now" in shown
    assert "127.0.0.1" not in shown


def test_too_many_requests_get_a_friendly_sentence(
    page: AppTest, answering: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAT_SESSION_REQUESTS_PER_MINUTE", "2")
    forget_cached()
    show(page, drawing("cats", 1))
    click(page, "Why?")
    assert "That was very fast" in words(show(page, drawing("cats", 2)))
    assert len(answering.requests) == 2
    monkeypatch.setenv("CAT_REQUESTS_PER_MINUTE", "1")
    forget_cached()
    other = [AppTest.from_file(page._script_path, default_timeout=30) for _ in range(2)]
    assert "You are a cat!" in words(show(other[0], drawing("cats", 3)))
    assert "Many people are asking" in words(show(other[1], drawing("cats", 4)))
