"""One visitor in a real browser: a photo from a file or the camera, a verdict, consent, an answer."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from include.lake import layout
from include.lake.local import LocalStore
from include.settings import ROOT
from stack.screenshots import ARGUMENTS, BROWSERS
from tests.app.test_ask_page import ModelServer
from tests.conftest import free_port, server
from tests.pictures import drawing

pytestmark = pytest.mark.functional

CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
PATIENCE = 60_000  # milliseconds: a machine that trains meanwhile is slow


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("browser") / "lake")


@pytest.fixture(scope="module")
def app(lake: LocalStore) -> Iterator[str]:
    """The app as the Procfile starts it, with a stand-in for the model server."""
    port = str(free_port())
    flags = ["--server.address", "127.0.0.1", "--server.port", port, "--server.headless", "true"]
    flags += ["--server.maxUploadSize", "20", "--browser.gatherUsageStats", "false"]
    command = ["streamlit", "run", str(ROOT / "app" / "streamlit_app.py"), *flags]
    with ModelServer() as model:
        settings = {"CAT_LAKE_URL": f"file://{lake.root}", "CAT_SERVER_URL": model.url, "PYTHONPATH": str(ROOT)}
        with server(command, f"http://127.0.0.1:{port}/_stcore/health", **settings) as url:
            yield url.removesuffix("/_stcore/health")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is on PATH; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*ARGUMENTS, *CAMERA])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, app: str) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1100, "height": 1400}, permissions=["camera"])
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(app)
    yield page
    context.close()


def sees(page: Page, words: str) -> None:
    expect(page.get_by_text(words).first).to_be_visible(timeout=PATIENCE)


def agree_and_answer(page: Page, answer: str) -> None:
    page.get_by_text("Keep this photo").click()
    expect(page.get_by_role("checkbox")).to_be_disabled(timeout=PATIENCE)
    expect(page.get_by_role("checkbox")).to_be_checked()
    page.get_by_text(answer, exact=True).click()
    page.get_by_role("button", name="Send").click()
    sees(page, "Thank you! The next model can learn from it.")


def new_uploads(lake: LocalStore, before: set[str]) -> dict[str, str]:
    """The answer to each photo that came since, all of it stored."""
    keys = set(lake.keys("")) - before
    photo_ids = {layout.photo_id_of(key) for key in keys if key.startswith(layout.UPLOADS)}
    for photo_id in photo_ids:
        assert {layout.upload_photo(photo_id), layout.upload_record(photo_id), layout.feedback(photo_id)} <= keys
    return {photo_id: json.loads(lake.read(layout.feedback(photo_id)))["answer"] for photo_id in photo_ids}


def test_a_visitor_uploads_a_photo_and_answers_what_it_shows(page: Page, lake: LocalStore) -> None:
    before = set(lake.keys(""))
    sees(page, "Show me a photo first")
    page.set_input_files("input[type=file]", {"name": "me.jpg", "mimeType": "image/jpeg", "buffer": drawing("cats", 1)})
    sees(page, "You are a cat!")
    sees(page, "Model version 7")
    expect(page.get_by_role("checkbox")).not_to_be_checked()
    assert set(lake.keys("")) == before, "nothing is stored before the visitor agrees"
    agree_and_answer(page, "a cat")
    assert list(new_uploads(lake, before).values()) == ["positive"]
    take_picture(page, "upload")


def test_a_visitor_uses_the_camera(page: Page, lake: LocalStore) -> None:
    before = set(lake.keys(""))
    page.get_by_text("Use the camera", exact=True).click()
    page.wait_for_function("document.querySelector('video')?.videoWidth > 0")  # before, a click takes nothing
    page.get_by_role("button", name="Take Photo").click()
    sees(page, "Model version 7")
    agree_and_answer(page, "not a cat")
    assert list(new_uploads(lake, before).values()) == ["negative"]
    take_picture(page, "camera")


def take_picture(page: Page, name: str) -> None:
    """For people: TEST_PICTURES names a folder to look at afterwards."""
    if folder := os.environ.get("TEST_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
