"""The page as a visitor meets it: what is shown, what is stored, and that no error becomes a stack trace."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Radio

from app import services
from include.lake import layout
from include.lake.local import LocalStore
from include.settings import ROOT
from tests.conftest import free_port
from tests.pictures import drawing, encode, plain

APP = str(ROOT / "app" / "streamlit_app.py")
VERDICT = {
    "probability": 0.87,
    "is_positive": True,
    "unsure": False,
    "threshold": 0.5,
    "model_version": "7",
    "error": None,
    "explanation": None,
}


class StandIn(BaseHTTPRequestHandler):
    """Plays the model server, whose own tests are in tests/serving: its protocol, with one fixed verdict."""

    status, verdict = 200, VERDICT

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["dataframe_split"]
        assert (self.path, asked["columns"]) == ("/invocations", ["image"])
        answer = {"predictions": [self.verdict] * len(asked["data"])} if self.status == 200 else {"error": "no"}
        body = json.dumps(answer).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


class ModelServer(ThreadingHTTPServer):
    """The stand-in on a free loopback port, for the time of a ``with`` block."""

    def __init__(self, status: int = 200, **verdict: Any) -> None:
        handler = type("Handler", (StandIn,), {"status": status, "verdict": VERDICT | verdict})
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


@pytest.fixture(autouse=True)
def own_lake(lake: LocalStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's lake is this test's: the app caches its settings and the store that it opened."""
    monkeypatch.setenv("CAT_LAKE_URL", f"file://{lake.root}")
    forget_cached()
    yield
    forget_cached()


def forget_cached() -> None:
    for cached in (services.get_settings, services.get_lake):
        cached.clear()


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer() as server:
        monkeypatch.setenv("CAT_SERVER_URL", server.url)
        yield server


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(APP, default_timeout=30)


def show(page: AppTest, photo: bytes, name: str = "me.jpg") -> AppTest:
    page.run()
    page.file_uploader[0].set_value((name, photo, "image/jpeg")).run()
    assert not page.exception
    return page


def consent(page: AppTest) -> AppTest:
    return page.checkbox[0].check().run()


def send(page: AppTest, answer: str) -> AppTest:
    feedback_radio(page).set_value(answer)
    page.button[0].click().run()
    assert not page.exception
    return page


def feedback_radio(page: AppTest) -> Radio[Any]:
    return next(radio for radio in page.radio if radio.label.startswith("Am I right"))


def words(page: AppTest) -> str:
    """All text of the page."""
    kinds = (page.title, page.subheader, page.caption, page.info, page.warning, page.error, page.success)
    return "\n".join(element.value for kind in kinds for element in kind)


def stored(lake: LocalStore) -> dict[str, list[str]]:
    """The keys of a visitor's photos, records and answers."""
    return {prefix: list(lake.keys(prefix)) for prefix in (layout.UPLOADS, layout.FEEDBACK) if any(lake.keys(prefix))}


def only_photo_id(lake: LocalStore) -> str:
    (photo_id,) = {layout.photo_id_of(key) for key in lake.keys(layout.UPLOADS)}
    return photo_id


def with_place(photo: bytes) -> bytes:
    """A JPEG as a telephone leaves it: its maker, its place on earth, a comment, and its orientation."""
    exif = Image.Exif()
    exif[0x010F] = "Purrfect Phones"
    exif[0x0112] = 6  # rotated by a quarter
    exif.get_ifd(0x8825).update({1: "N", 2: (59.0, 20.0, 5.0), 3: "E", 4: (18.0, 3.0, 45.0)})
    return encode(Image.open(io.BytesIO(photo)), exif=exif, comment=b"taken at home")


def test_before_a_photo_it_asks_for_one(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    assert "Show me a photo first" in words(page.run())
    assert not page.exception
    assert not list(lake.keys(""))


def test_a_photo_gets_verdict_probability_and_version(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    shown = words(show(page, drawing("cats", 1)))
    assert "You are a cat!" in shown
    assert "Model version 7" in shown
    assert page.get("progress")[0].proto.text == "a cat: 87%"


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        ({"is_positive": False, "probability": 0.1}, "You are not a cat."),
        ({"unsure": True}, "I am not sure … a cat, perhaps?"),
        ({"unsure": True, "is_positive": False}, "I am not sure … probably not a cat."),
    ],
)
def test_each_verdict_has_its_words(
    page: AppTest, monkeypatch: pytest.MonkeyPatch, verdict: dict[str, Any], text: str
) -> None:
    with ModelServer(**verdict) as server:
        monkeypatch.setenv("CAT_SERVER_URL", server.url)
        assert text in words(show(page, drawing("cats", 1)))


def test_the_page_asks_the_question_of_the_settings(
    page: AppTest, answering: ModelServer, lake: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAT_QUESTION__TEXT", "Is it an owl?")
    monkeypatch.setenv("CAT_QUESTION__NOUN", "an owl")
    forget_cached()
    shown = words(show(page, drawing("cats", 1)))
    assert "Is it an owl?" in shown
    assert "You are an owl!" in shown
    assert " cat" not in shown
    assert feedback_radio(page).options[:2] == ["an owl", "not an owl"]
    send(consent(page), "negative")
    assert json.loads(lake.read(layout.feedback(only_photo_id(lake))))["answer"] == "negative"


def test_nothing_is_stored_without_consent(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    show(page, drawing("cats", 1))
    assert page.checkbox[0].value is False
    assert "Nothing was stored" in words(send(page, "positive"))
    assert not list(lake.keys(""))


def test_with_consent_photo_and_record_are_stored_once(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    consent(show(page, drawing("cats", 1)))
    assert (page.checkbox[0].value, page.checkbox[0].disabled) == (True, True)
    photo_id = only_photo_id(lake)
    before = {key: lake.read(key) for key in lake.keys("")}
    for _ in range(3):
        page.run()
    send(page, "positive")
    send(page, "positive")  # a double click
    after = {key: lake.read(key) for key in lake.keys("")}
    assert set(after) - set(before) == {layout.feedback(photo_id)}
    assert after | before == after
    record = json.loads(before[layout.upload_record(photo_id)])
    assert (record["model_version"], record["probability"], record["consent_version"]) == ("7", 0.87, 1)
    assert record["session"] != page.session_state["visitor"]


def test_the_same_photo_given_again_is_the_same_upload(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    consent(show(page, drawing("cats", 1)))
    consent(show(page, drawing("cats", 1), name="again.jpg"))
    assert stored(lake)[layout.UPLOADS] == [
        layout.upload_photo(only_photo_id(lake)),
        layout.upload_record(only_photo_id(lake)),
    ]


def test_consent_is_for_one_photo_not_for_the_next(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    send(consent(show(page, drawing("cats", 1))), "positive")
    before = stored(lake)
    show(page, drawing("cats", 2))
    assert page.checkbox[0].value is False
    assert feedback_radio(page).value is None
    assert "Nothing was stored" in words(send(page, "neither"))
    assert stored(lake) == before


def test_the_stored_photo_has_no_exif_and_is_upright(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    given = with_place(plain(size=(64, 48)))
    assert Image.open(io.BytesIO(given)).getexif().get_ifd(0x8825)[1] == "N"
    consent(show(page, given))
    body = lake.read(layout.upload_photo(only_photo_id(lake)))
    kept = Image.open(io.BytesIO(body))
    assert kept.format == "JPEG"
    assert kept.size == (48, 64)
    assert not dict(kept.getexif())
    assert not {"exif", "comment", "icc_profile", "xmp"} & set(kept.info)
    assert not any(trace in body for trace in (b"Exif", b"Purrfect", b"taken at home"))


def test_a_large_photo_is_kept_smaller(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    consent(show(page, plain(size=(3000, 2000))))
    kept = Image.open(io.BytesIO(lake.read(layout.upload_photo(only_photo_id(lake)))))
    assert kept.size == (1024, 683)


def test_a_changed_answer_replaces_the_first(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    consent(show(page, drawing("cats", 1)))
    key = layout.feedback(only_photo_id(lake))
    for answer in ("positive", "negative", "neither"):
        assert "Thank you!" in words(send(page, answer))
        assert json.loads(lake.read(key))["answer"] == answer
    assert stored(lake)[layout.FEEDBACK] == [key]


def test_no_answer_is_asked_for_again(page: AppTest, answering: ModelServer, lake: LocalStore) -> None:
    consent(show(page, drawing("cats", 1)))
    page.button[0].click().run()
    assert "Choose an answer first" in words(page)
    assert layout.FEEDBACK not in stored(lake)


@pytest.mark.parametrize(
    "body",
    [
        b"%PDF-1.7 a document",
        b"",
        plain(size=(400, 400))[:900],
        plain(size=(8, 8)),
    ],
    ids=["document", "empty", "truncated", "too small"],
)
def test_what_is_no_photo_gets_a_friendly_sentence(
    page: AppTest, answering: ModelServer, lake: LocalStore, body: bytes
) -> None:
    shown = words(show(page, body))
    assert "I cannot see a photo in this" in shown
    assert "Model version" not in shown
    assert not list(lake.keys(""))


def test_a_photo_that_the_model_cannot_read_gets_a_friendly_sentence(
    page: AppTest, monkeypatch: pytest.MonkeyPatch, lake: LocalStore
) -> None:
    with ModelServer(probability=None, is_positive=None, unsure=None, error="damaged: it breaks off") as server:
        monkeypatch.setenv("CAT_SERVER_URL", server.url)
        assert "Try another one" in words(show(page, drawing("cats", 1)))
    assert not list(lake.keys(""))


@pytest.mark.parametrize(("status", "text"), [(503, "I have not learned to see yet"), (500, "does not answer")])
def test_a_server_without_an_answer_gets_a_friendly_sentence(
    page: AppTest, monkeypatch: pytest.MonkeyPatch, lake: LocalStore, status: int, text: str
) -> None:
    with ModelServer(status) as server:
        monkeypatch.setenv("CAT_SERVER_URL", server.url)
        assert text in words(show(page, drawing("cats", 1)))
    assert not page.checkbox
    assert not list(lake.keys(""))


def test_a_server_that_is_down_gets_a_friendly_sentence(
    page: AppTest, monkeypatch: pytest.MonkeyPatch, lake: LocalStore
) -> None:
    monkeypatch.setenv("CAT_SERVER_URL", f"http://127.0.0.1:{free_port()}")
    shown = words(show(page, drawing("cats", 1)))
    assert "does not answer right now" in shown
    assert "127.0.0.1" not in shown
    assert not list(lake.keys(""))


@pytest.fixture
def broken(lake: LocalStore) -> Callable[[], None]:
    """From its call on nothing can be stored: a file is where the lake's folder was."""

    def broken() -> None:
        if lake.root.exists():
            lake.root.rename(lake.root.with_name("aside"))
        lake.root.write_bytes(b"")

    return broken


def mend(lake: LocalStore) -> None:
    lake.root.unlink()
    if (aside := lake.root.with_name("aside")).exists():
        aside.rename(lake.root)


def test_a_photo_that_cannot_be_kept_gets_a_friendly_sentence_and_is_kept_later(
    page: AppTest, answering: ModelServer, lake: LocalStore, broken: Callable[[], None]
) -> None:
    broken()
    consent(show(page, drawing("cats", 1)))
    assert not page.exception
    assert "I could not keep that just now" in words(page)
    assert str(lake.root) not in words(page)
    mend(lake)
    page.run()
    assert not page.error
    assert lake.exists(layout.upload_record(only_photo_id(lake)))


def test_an_answer_that_cannot_be_kept_gets_a_friendly_sentence_and_may_be_given_again(
    page: AppTest, answering: ModelServer, lake: LocalStore, broken: Callable[[], None]
) -> None:
    consent(show(page, drawing("cats", 1)))
    broken()
    shown = words(send(page, "positive"))
    assert "I could not keep that just now" in shown
    assert "Thank you" not in shown
    mend(lake)
    assert "Thank you" in words(send(page, "positive"))
    assert lake.exists(layout.feedback(only_photo_id(lake)))
