"""One visitor in a real browser, from the photo to the say; and the app's HTTP endpoints."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.app.browsing import DESKTOP, choose_file, first_answers, launch, open_page, sees
from tests.app.served import App, serve
from tests.app.visitor import answer_to
from tests.pictures import drawing

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with serve(tmp_path_factory.mktemp("app")) as app:
        yield app


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launch() as browser:
        yield browser


def test_a_visitor_uploads_a_photo_and_has_a_say(app: App, chromium: Browser) -> None:
    with open_page(chromium, app, DESKTOP) as page:
        sees(page, "a model that learns from its visitors")
        choose_file(page, "me.jpg", drawing("cats", 1))
        sees(page, "You are a cat!")
        expect(page.get_by_role("checkbox")).not_to_be_checked()
        assert not app.settings.spool.exists(), "nothing is kept before the visitor agrees"
        page.get_by_text("Let this photo stay").click()
        sees(page, "It can teach only with your answer")
        page.get_by_role("button", name="Wrong").click()
        sees(page, "Photo and answer are kept")
        (photo_id,) = first_answers(app.lake, 1)
        assert answer_to(app.lake, photo_id) == "negative"
        assert app.model.verdicts == 1


def test_prometheus_reads_figures_and_each_response_has_an_id(app: App) -> None:
    first, second = httpx.get(f"{app.url}/_stcore/health"), httpx.get(f"{app.url}/metrics")
    assert first.status_code == second.status_code == 200
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert 'cat_app_http_responses_total{path="health",status="200"}' in second.text
    assert "cat_app_verdict_seconds_bucket" in second.text
    assert "cat_app_spool_files 0.0" in second.text


def test_with_a_token_the_figures_are_for_those_who_know_it(app: App) -> None:
    secret = app.settings.secrets / "server_token"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("known to few")
    try:
        assert httpx.get(f"{app.url}/metrics").status_code == 401
        given = {"Authorization": "Bearer known to few"}
        assert httpx.get(f"{app.url}/metrics", headers=given).status_code == 200
        assert httpx.get(f"{app.url}/_stcore/health").status_code == 200
    finally:
        secret.unlink()
