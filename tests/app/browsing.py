"""Driving an installed Chromium through the app."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from include.errors import StackError
from include.lake import layout
from include.lake.local import LocalStore
from stack.browser import ARGUMENTS, find_browser
from tests.app.served import App
from tests.waiting import until

CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
PATIENCE = 60_000  # milliseconds: a machine that trains meanwhile is slow
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@contextmanager
def launch() -> Iterator[Browser]:
    """The browser, without a window; a test that needs it is skipped where there is none."""
    try:
        found = find_browser()
    except StackError as error:
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*ARGUMENTS, *CAMERA])
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Browser, app: App, device: dict[str, Any], *, scheme: str = "light") -> Iterator[Page]:
    """The app in a new browser session."""
    context = browser.new_context(**device, color_scheme=scheme, permissions=["camera"])  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(app.url)
    yield page
    context.close()


def sees(page: Page, words: str) -> None:
    expect(page.get_by_text(words).first).to_be_visible(timeout=PATIENCE)


def choose_file(page: Page, name: str, body: bytes, kind: str = "image/jpeg") -> None:
    page.set_input_files("input[type=file]", {"name": name, "mimeType": kind, "buffer": body})


def first_answers(lake: LocalStore, count: int) -> set[str]:
    """The ids of the uploads with an answer, once the lake has so many: the app sends them in its own time."""
    until(lambda: len(list(lake.keys(layout.FEEDBACK))) >= count)
    return {layout.photo_id_of(key) for key in lake.keys(layout.FEEDBACK)}


def take_picture(page: Page, name: str) -> None:
    """For people: TEST_PICTURES names a folder to look at afterwards."""
    if folder := os.environ.get("TEST_PICTURES"):
        page.wait_for_timeout(700)  # milliseconds: things move into place
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
