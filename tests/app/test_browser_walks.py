"""Visitors in a real browser on phone and desktop, light and dark; and what stands in the way of some of them."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from include.lake import layout
from include.lake.formats import write_json
from tests.app.browsing import DESKTOP, PHONE, choose_file, first_answers, launch, open_page, sees, take_picture
from tests.app.hostile import CORPUS, EITHER, VERDICT
from tests.app.served import App, serve
from tests.app.test_status_page import report
from tests.app.visitor import answer_to
from tests.pictures import drawing, plain
from tests.waiting import until

pytestmark = [pytest.mark.functional, pytest.mark.slow]

DEVICES = {"phone": PHONE, "desktop": DESKTOP}
MB = 1_000_000
# What axe finds in Streamlit itself, which no app can mend; each with the report about it.
UPSTREAM: dict[str, str] = {}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    many = {"CAT_SESSION_REQUESTS_PER_MINUTE": "1000", "CAT_VERDICT_SECONDS": "30"}
    with serve(tmp_path_factory.mktemp("app"), **many) as app:
        for number in range(1, 8):
            sha256 = "live" if number == 7 else f"older {number}"
            made = report(str(number), sha256=sha256, day=number, precision=0.8 + 0.02 * number)
            write_json(app.lake, layout.run_report(f"run {number}"), made)
        yield app


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launch() as browser:
        yield browser


def check_with_axe(page: Page) -> None:
    """Nothing that is serious, and ours."""
    found = Axe().run(page).response["violations"]
    ours = [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]])
        for violation in found
        if violation["impact"] in ("critical", "serious", "moderate") and violation["id"] not in UPSTREAM
    ]
    assert not ours


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", DEVICES)
def test_every_path_of_a_visitor(app: App, chromium: Browser, device: str, scheme: str) -> None:
    name, uploads = f"{device}-{scheme}", len(list(app.lake.keys(layout.UPLOADS)))
    with open_page(chromium, app, DEVICES[device], scheme=scheme) as page:
        sees(page, "No photo at hand?")
        take_picture(page, f"{name}-1-ask")
        check_with_axe(page)

        choose_file(page, "IMG_0001.HEIC", next(odd for odd in CORPUS if odd.name == "IMG_0001.HEIC").make())
        sees(page, "This is a HEIC photo")
        take_picture(page, f"{name}-2-heic")
        check_with_axe(page)

        choose_file(page, "me.jpg", plain("teal", (900, 1600)))
        sees(page, "You are a cat!")
        box = page.get_by_role("status").filter(has_text="You are a cat!").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 600, "the verdict is on the first screen"
        take_picture(page, f"{name}-3-verdict")
        check_with_axe(page)

        page.get_by_role("button", name="Why?").click()
        sees(page, "Red speaks for a cat")
        take_picture(page, f"{name}-4-why")
        check_with_axe(page)

        page.get_by_role("button", name="Wrong").click()
        sees(page, "Your answer is counted")
        page.get_by_role("button", name="Right").click()
        sees(page, "Changed.")
        page.get_by_text("Let this photo stay").click()
        sees(page, "Photo and answer are kept")
        until(lambda: len(list(app.lake.keys(layout.UPLOADS))) == uploads + 2)
        take_picture(page, f"{name}-5-said")
        check_with_axe(page)
        page.get_by_role("button", name="Undo").click()
        sees(page, "Undone")
        until(lambda: len(list(app.lake.keys(layout.UPLOADS))) == uploads)

        page.get_by_role("button", name="Another photo").click()
        page.get_by_role("button", name="Dog").click()
        sees(page, "You are a cat!")
        expect(page.get_by_role("checkbox")).to_have_count(0)

        page.get_by_role("link", name="How the model is doing").click()
        sees(page, "For those who run it")
        take_picture(page, f"{name}-6-status")
        check_with_axe(page)


def test_our_targets_are_large_enough_for_a_thumb(app: App, chromium: Browser) -> None:
    with open_page(chromium, app, PHONE) as page:
        sees(page, "No photo at hand?")
        _check_targets(page)
        choose_file(page, "me.jpg", drawing("cats", 1))
        sees(page, "You are a cat!")
        _check_targets(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def _check_targets(page: Page) -> None:
    main = page.get_by_test_id("stMain")
    for kind in ("button", "[role=radio]", "a", "[data-testid=stCheckbox] label", "summary"):
        for target in main.locator(kind).all():
            box = target.bounding_box() if target.is_visible() else None
            assert box is None or box["height"] >= 44, target.inner_text()


def test_a_visitor_uses_the_camera(app: App, chromium: Browser) -> None:
    before = len(list(app.lake.keys(layout.FEEDBACK)))
    with open_page(chromium, app, PHONE) as page:
        page.get_by_text("Camera", exact=True).click()
        page.wait_for_function("document.querySelector('video')?.currentTime > 0.5")  # before, a click takes nothing
        page.get_by_role("button", name="Take Photo").click()
        sees(page, "You are a cat!")
        page.get_by_text("Let this photo stay").click()
        sees(page, "It can teach only with your answer")
        page.get_by_role("button", name="Wrong").click()
        sees(page, "Photo and answer are kept")
        ids = first_answers(app.lake, before + 1)
        assert "negative" in {answer_to(app.lake, photo_id) for photo_id in ids}


def test_a_visitor_with_a_keyboard_alone(app: App, chromium: Browser) -> None:
    with open_page(chromium, app, DESKTOP) as page:
        sees(page, "No photo at hand?")
        _press_on(page, "Cat")
        sees(page, "You are a cat!")
        _press_on(page, "Another photo")
        choose_file(page, "me.jpg", drawing("cats", 1))
        sees(page, "You are a cat!")
        _press_on(page, "Wrong")
        sees(page, "Your answer is counted")
        assert page.evaluate("document.activeElement.innerText.trim()") == "✓ Wrong", "the focus stays"
        _press_on(page, "Undo")
        sees(page, "Undone")


def _press_on(page: Page, name: str) -> None:
    """Tab to the button, and press it."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText.trim()") == name:
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"the tab key never reaches {name!r}")


def test_the_verdict_is_a_live_region_that_stays_while_its_words_change(app: App, chromium: Browser) -> None:
    with open_page(chromium, app, DESKTOP) as page:
        sees(page, "No photo at hand?")
        app.model.open.clear()
        choose_file(page, "me.jpg", drawing("cats", 1))
        region = page.locator(".verdict[role=status]")
        expect(region).to_contain_text("Looking at your photo")
        region.evaluate("element => { element.dataset.same = 'yes' }")
        app.model.open.set()
        expect(region).to_contain_text("You are a cat!")
        assert region.get_attribute("data-same") == "yes"


def test_while_the_server_is_slow_no_verdict_of_another_photo_stands_there(app: App, chromium: Browser) -> None:
    with open_page(chromium, app, PHONE) as page:
        choose_file(page, "first.jpg", drawing("cats", 1))
        sees(page, "You are a cat!")
        page.get_by_role("button", name="Another photo").click()
        sees(page, "No photo at hand?")
        app.model.open.clear()
        choose_file(page, "second.jpg", drawing("dogs", 1))
        sees(page, "Looking at your photo")
        page.wait_for_timeout(2000)  # milliseconds: longer than anything that is still drawn
        expect(page.get_by_test_id("stSpinner")).to_be_visible()
        expect(page.get_by_role("img", name="Your photo")).to_be_visible()
        for words in ("You are a cat!", "Was that right?", "A cat: 97", "No photo at hand?"):
            expect(page.get_by_text(words)).to_have_count(0)
        asked = app.model.verdicts
        app.model.open.set()
        sees(page, "You are a cat!")
        assert app.model.verdicts == asked


def test_the_hostile_corpus_through_the_browser(app: App, chromium: Browser) -> None:
    """The file of each gets its sentence or a verdict; nothing is stored."""
    before, odd_ones = list(app.lake.keys("")), [odd for odd in CORPUS if odd.gets != EITHER]
    with open_page(chromium, app, PHONE) as page:
        for odd in odd_ones:
            sees(page, "No photo at hand?")
            choose_file(page, odd.name, odd.make(), "application/octet-stream")
            if odd.gets == VERDICT:
                sees(page, "You are a cat!")
                page.get_by_role("button", name="Another photo").click()
            else:
                expect(page.get_by_role("alert").filter(has_text=odd.gets)).to_be_visible()
                expect(page.get_by_text(odd.name)).to_have_count(0)
                page.reload()
            expect(page.get_by_text("Traceback")).to_have_count(0)
    assert list(app.lake.keys("")) == before


@pytest.mark.parametrize(
    ("path", "files", "statuses"),
    [
        ("no-session/no-file", [("file", ("x.jpg", b"x"))], {400, 403}),
        ("../../etc/passwd", [("file", ("x.jpg", b"x"))], {400, 403, 404, 405}),
        ("a/b", [], {400, 403}),
        ("a/b", [("file", ("x.jpg", b"x")), ("file", ("y.jpg", b"y"))], {400, 403}),
        ("a/b", [("file", ("../../../x.jpg", b"\0" * 60 * MB))], {400, 403, 413}),
    ],
)
def test_the_raw_upload_endpoint_takes_nothing_from_strangers(
    app: App, path: str, files: list[Any], statuses: set[int]
) -> None:
    response = httpx.put(f"{app.url}/_stcore/upload_file/{path}", files=files or None, timeout=60)
    assert response.status_code in statuses
    assert not re.search("Traceback|site-packages", response.text)


def test_the_corpus_through_the_upload_endpoint_of_a_session(app: App, chromium: Browser) -> None:
    """As a program would: under the session of a page, past what the browser checks."""
    with open_page(chromium, app, DESKTOP) as page:
        sees(page, "No photo at hand?")
        with page.expect_request(
            lambda request: "/_stcore/upload_file/" in request.url and request.method == "PUT"
        ) as put:
            choose_file(page, "me.jpg", drawing("cats", 1))
        sees(page, "You are a cat!")
        headers = {name: put.value.headers[name] for name in ("x-xsrftoken",) if name in put.value.headers}
        cookies = {str(cookie.get("name")): str(cookie.get("value")) for cookie in page.context.cookies()}
        address = put.value.url.rpartition("/")[0]
        for number, odd in enumerate(CORPUS):
            response = httpx.put(
                f"{address}/mine-{number}",
                files={"file": (odd.name, odd.make(), "image/jpeg")},
                headers=headers,
                cookies=cookies,
                timeout=60,
            )
            assert response.status_code in {204, 400, 403, 413}
            assert not re.search("Traceback|site-packages", response.text)
        sees(page, "You are a cat!")
    assert httpx.get(f"{app.url}/_stcore/health").status_code == 200


def test_what_is_confirmed_while_the_lake_is_down_survives_a_restart_of_the_app(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("restarted")
    (folder / "lake").write_bytes(b"")  # a file is where the lake's folder would be
    with serve(folder) as app:
        with open_page(chromium, app, PHONE) as page:
            choose_file(page, "me.jpg", drawing("cats", 1))
            sees(page, "You are a cat!")
            page.get_by_text("Let this photo stay").click()
            sees(page, "It can teach only with your answer")
            page.get_by_role("button", name="Wrong").click()
            sees(page, "Photo and answer are kept")
        assert len(list(app.settings.spool.iterdir())) == 3
    (folder / "lake").unlink()
    with serve(folder) as app:
        (photo_id,) = first_answers(app.lake, 1)
        assert answer_to(app.lake, photo_id) == "negative"
        until(lambda: not list(app.settings.spool.iterdir()))
