"""`make screenshots`: the pictures of the README, taken from a running local stack on the drawn sample.

It triggers nothing. It needs an installed Chromium; playwright brings the driver only. No picture shows a photo: it
refuses to run on any other base set than the sample, whose pictures our own code draws.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import FloatRect, Page, ViewportSize, sync_playwright
from rich.console import Console

from include.errors import CatError, StackError
from include.images.synthetic import draw_photo
from include.registry.versions import champion_version
from include.settings import ROOT, SAMPLE, Settings
from include.training.mlflow_runs import connect
from stack.airflow_api import USER, AirflowApi
from stack.airflow_login import airflow_password
from stack.browser import ARGUMENTS, find_browser
from stack.demo import app_url
from stack.environment import local_settings

DAG = "retrain"
LAST_TASK = "release.report"
PICTURES = ROOT / "docs" / "pictures"
GRAPHS = {"retrain-graph-1.png": ("collect", "check"), "retrain-graph-2.png": ("train", "release")}
PAGE: ViewportSize = {"width": 900, "height": 900}
SIZE: ViewportSize = {
    "width": 2000,
    "height": 1250,
}  # wide enough for the graph in one row, high enough for the form in one piece
MARGIN = 16  # pixels around the graph
SETTLE = 1500.0  # milliseconds: the UI moves things smoothly into place
console = Console()


def main() -> int:
    options = _parse()
    try:
        settings = local_settings(base_data=options.base_data, lake=options.lake)
        if settings.base_data != SAMPLE:
            raise StackError("screenshots show pictures of the base set: take them from a stack on the drawn sample")
        api = AirflowApi(settings.airflow_page, airflow_password(settings))
        take_pictures(api, settings, options.folder)
    except (CatError, httpx.HTTPError, BrowserError) as error:
        console.print(f"[red]{type(error).__name__}:[/] {error}")
        return 1
    return 0


def take_pictures(api: AirflowApi, settings: Settings, folder: Path) -> None:
    """Save the pictures of Airflow, the app and the evaluation page in ``folder``; raises StackError."""
    run, browser = last_run(api), find_browser()
    folder.mkdir(parents=True, exist_ok=True)
    with open_page(browser) as page:
        log_in(page, api)
        picture_graph(page, f"{api.url}/dags/{DAG}/runs/{quote(run, safe='')}", folder)
        picture_form(page, f"{api.url}/dags/{DAG}", folder / "retrain-params.png")
        picture_app(page, app_url(settings), folder / "app.png")
        picture_evaluation(page, settings, folder / "evaluation.png")
    console.print(f"Saved the pictures in {folder}; the graphs are those of run {run}")


def last_run(api: AirflowApi) -> str:
    """The id of the run that was asked for last; raises StackError where there is no stack or no run."""
    if not api.is_healthy():
        raise StackError(f"no healthy Airflow answers at {api.url}: run `make demo` or `make up`, and leave it running")
    try:
        runs = api.runs(DAG)
    except httpx.HTTPStatusError as error:
        raise StackError(
            f"the Airflow at {api.url} does not take the password of these settings: "
            "give the --base-data and --lake that its stack was started with"
        ) from error
    if not runs:
        raise StackError(f"{DAG} has no run yet: trigger it in {api.url}, or run `make demo`")
    return str(max(runs, key=lambda run: run["run_after"])["dag_run_id"])


@contextmanager
def open_page(browser: str) -> Iterator[Page]:
    """An empty page in a browser without a window, closed at the end of the block."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=ARGUMENTS)
        try:
            page = chromium.new_page(viewport=SIZE, device_scale_factor=1.5, locale="en-US", color_scheme="light")
            page.set_default_timeout(60_000)  # Airflow's first pages can be slow
            yield page
        finally:
            chromium.close()


def log_in(page: Page, api: AirflowApi) -> None:
    page.goto(f"{api.url}/auth/login")
    page.fill("input[name=username]", USER)
    page.fill("input[name=password]", api.password)
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "/login" not in url)


def picture_graph(page: Page, url: str, folder: Path) -> None:
    """The graph alone, with all task groups open, in two pictures: in one its words would be too small to read."""
    page.goto(url)
    page.get_by_label("Show Graph").click()
    page.get_by_test_id("expand-all-button").click()
    page.get_by_label("Collapse Details Panel").click()
    page.get_by_test_id(f"rf__node-{LAST_TASK}").wait_for()
    page.get_by_label("Fit View").click()
    page.add_style_tag(content=".react-flow__panel { display: none }")  # map, buttons
    page.wait_for_timeout(SETTLE)
    for name, groups in GRAPHS.items():
        nodes = ", ".join(f'.react-flow__node[data-id^="{group}"]' for group in groups)
        page.screenshot(path=folder / name, clip=_around(page, nodes))


def picture_form(page: Page, url: str, path: Path) -> None:
    """The form that asks for the params; it is not sent."""
    page.goto(url)
    page.get_by_test_id("trigger-dag-button").click()
    form = page.locator("[role=dialog][data-state=open]")
    form.get_by_text("Run Parameters").wait_for()
    page.wait_for_timeout(SETTLE)
    form.screenshot(path=path)


def picture_app(page: Page, url: str, path: Path) -> None:
    """The verdict on a drawn cat. Nothing is stored."""
    drawing = draw_photo("cats", random.Random("screenshot"))
    page.set_viewport_size(PAGE)
    page.goto(url)
    page.locator("input[type=file]").set_input_files({"name": "cat.jpg", "mimeType": "image/jpeg", "buffer": drawing})
    page.get_by_text("Model version").wait_for()
    page.wait_for_timeout(SETTLE)
    page.screenshot(path=path)


def picture_evaluation(page: Page, settings: Settings, path: Path) -> None:
    """The top of the champion's evaluation page."""
    client = connect(settings)
    version = champion_version(client)
    if version is None:
        raise StackError("there is no champion yet: run `make demo`")
    run = client.get_model_version(client.name, version.number).run_id
    with tempfile.TemporaryDirectory() as scratch:
        html = Path(client.download_artifacts(run, "evaluation/evaluation.html", scratch))
        page.set_viewport_size(PAGE)
        page.goto(html.as_uri())
        page.screenshot(path=path)


def _around(page: Page, selector: str) -> FloatRect:
    """The smallest rectangle around all elements that ``selector`` finds, and a margin."""
    boxes = [box for element in page.locator(selector).all() if (box := element.bounding_box())]
    left, top = min(box["x"] for box in boxes) - MARGIN, min(box["y"] for box in boxes) - MARGIN
    right = max(box["x"] + box["width"] for box in boxes) + MARGIN
    bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-data", help="what the running stack was started with; else CAT_BASE_DATA")
    parser.add_argument("--lake", choices=("folder", "s3"), default="folder", help="the same of its lake")
    parser.add_argument("--folder", type=Path, default=PICTURES, help="where the pictures go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
