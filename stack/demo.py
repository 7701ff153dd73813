"""`make demo` and `make up`: the local stack, and one whole round of the loop in it.

Exit codes: 0 when a model went live or nothing was new; 1 when a task failed, the champion stays, or the stack could
not run; 130 on Ctrl-C.
"""

import argparse
import logging
import os
import sys
import time
from contextlib import suppress
from typing import Any

import httpx
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from include.errors import CatError, ServerError, Unusable
from include.ingestion.base_sets import check_base_data
from include.lake.lake_check import check_lake
from include.lake.opening import open_lake
from include.registry.registry_check import check_registry
from include.serving.client import live
from include.settings import CHAMPION_POOL, SAMPLE, Settings
from stack.airflow_api import ENDED, USER, AirflowApi
from stack.airflow_login import airflow_password
from stack.containers import container_settings, outside_environment, running_containers
from stack.environment import has_own_s3, local_settings, own_s3_credentials
from stack.launcher import Running, Stack, running_stack, wait_until
from stack.progress import LongTasks
from stack.summary import save_summary, show_summary, summarize_failure, summarize_run

INGEST, RETRAIN, PREDICT = "ingest_base_datasets", "retrain", "predict_batch"
console = Console()
log = logging.getLogger(__name__)


def main() -> int:
    options = _parse()
    logging.basicConfig(level="INFO", format="%(message)s", handlers=[RichHandler(console=console, show_path=False)])
    logging.getLogger("httpx").setLevel("WARNING")
    try:
        settings = _settings(options)
        _say_what_is_not_real(settings, docker=options.docker)
        check_base_data(settings)  # a wrong folder is reported in a second, not by a failed task after a minute
        _check_places(settings, docker=options.docker)
        with running_containers(settings) if options.docker else running_stack(settings) as stack:
            return _serve(stack, options)
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    except (CatError, httpx.HTTPError, OSError) as error:
        _show_error(error)
        return 1


def _show_error(error: Exception) -> None:
    console.print(f"[red]{type(error).__name__}:[/] {escape(str(error))}", soft_wrap=True)


def _settings(options: argparse.Namespace) -> Settings:
    """The settings of the stack, with the lake's credentials in the environment: this process reads the lake, too."""
    if options.docker:
        settings = container_settings(options.base_data)
        os.environ.update(outside_environment(settings))
    else:
        settings = local_settings(base_data=options.base_data, lake=options.lake)
        os.environ.update(own_s3_credentials(settings))
    return settings


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-data", help="'sample' (pictures drawn by our code) or a folder; else CAT_BASE_DATA")
    parser.add_argument("--lake", choices=("folder", "s3"), default="folder", help="s3: moto's server, in memory")
    parser.add_argument("--docker", action="store_true", help="in the containers of docker-compose.yaml")
    parser.add_argument("--upload-seed", type=int, default=1, help="other photos of the visitors")
    parser.add_argument("--once", action="store_true", help="stop everything after the run")
    parser.add_argument("--only-serve", action="store_true", help="start the stack, run nothing")
    return parser.parse_args()


def _say_what_is_not_real(settings: Settings, *, docker: bool) -> None:
    if settings.base_data == SAMPLE:
        console.print("The base photos are drawn by our own code: metrics on them say nothing about real cats.")
    if has_own_s3(settings) and not docker:
        console.print("The lake is moto's S3 server, in memory: it ends with the stack.")


def _check_places(settings: Settings, *, docker: bool) -> None:
    """What does not start with the stack can be used. Raises Unusable or UnsafeStore."""
    if docker:
        return
    if not has_own_s3(settings):
        check_lake(settings)
    if settings.mlflow_url:
        check_registry(settings)
    if settings.server_url and not _answers(f"{settings.server_url}/ping"):
        raise Unusable(f"no model server answers at {settings.server_url}: start it, or leave CAT_SERVER_URL empty")


def _serve(stack: Running, options: argparse.Namespace) -> int:
    """What fails here ends nothing that serves, unless the stack was to end after the run in any case."""
    try:
        code = _run(stack, options)
    except (CatError, httpx.HTTPError, OSError) as error:
        if options.once:
            raise
        _show_error(error)
        code = 1
    if not options.once:
        console.print("Serving until Ctrl-C.")
        while True:
            stack.check()
            time.sleep(1)
    return code


def _run(stack: Running, options: argparse.Namespace) -> int:
    settings = stack.settings
    api = AirflowApi(settings.airflow_page, airflow_password(settings))
    start_all(stack, api)
    code = 0 if options.only_serve else _demonstrate(stack, api, upload_seed=options.upload_seed)
    _print_addresses(settings, api)
    return code


def start_all(stack: Running, api: AirflowApi) -> None:
    """Every server answers and every DAG is parsed; the bucket of a local S3 server is made on the way."""
    settings = stack.settings
    with console.status(f"Starting the stack in {settings.home} ..."):
        stack.start()
        if isinstance(stack, Stack) and "s3" in stack.commands:
            _make_bucket(stack)
        wait_until(lambda: _answers(f"{settings.tracking_url}/health"), stack, what="MLflow", seconds=180)
        check_registry(settings)
        wait_until(lambda: _answers(f"{settings.live_url}/ping"), stack, what="the model server", seconds=180)
        wait_until(lambda: _answers(f"{app_url(settings)}/_stcore/health"), stack, what="the app", seconds=180)
        wait_until(api.is_healthy, stack, what="Airflow", seconds=300)
        api.ensure_pool(CHAMPION_POOL, slots=1)
        wait_until(lambda: all(map(api.has_dag, (INGEST, RETRAIN, PREDICT))), stack, what="the DAGs", seconds=180)
    console.print("The stack is up.")


def _make_bucket(stack: Stack) -> None:
    from include.lake.s3 import S3Store

    endpoint = str(stack.settings.s3_endpoint_url)
    wait_until(lambda: _answers(endpoint), stack, what="the S3 server", seconds=60)
    lake = open_lake(stack.settings)
    assert isinstance(lake, S3Store)
    lake.ensure_bucket()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.HTTPError:
        return False


def _demonstrate(stack: Running, api: AirflowApi, *, upload_seed: int) -> int:
    """Ingest base photos and visitors' photos, run retrain once, and show the result."""
    began, settings = time.monotonic(), stack.settings
    summary = _run_the_loop(stack, api, upload_seed)
    summary |= {
        "seconds_in_all": round(time.monotonic() - began, 1),
        "live": _live_version(settings),
        "base_data": settings.base_data,
        "lake": settings.lake,
        "airflow_url": api.url,
        "airflow_user": USER,
        "airflow_password": api.password,
        "mlflow_url": runs_url(settings),
        "server_url": settings.live_url,
        "app_url": app_url(settings),
    }
    save_summary(settings.state_dir / "last_run.json", summary)
    show_summary(console, summary)
    return 0 if summary["outcome"] in ("redeployed", "nothing new") else 1


def _run_the_loop(stack: Running, api: AirflowApi, upload_seed: int) -> dict[str, Any]:
    lake = open_lake(stack.settings)
    api.unpause(PREDICT)
    run, state = run_dag(stack, api, INGEST)
    if state != "success":
        return summarize_failure(api, INGEST, run)
    from stack.visitors import visit  # it imports the app, and a wrong setting is told before that

    count = visit(lake, stack.settings, seed=upload_seed)
    console.print(f"Visitors gave {count} labelled photos through the app's code (UPLOAD_SEED={upload_seed}).")
    run, state = run_dag(stack, api, RETRAIN)
    if state != "success":
        return summarize_failure(api, RETRAIN, run)
    return summarize_run(api, lake, RETRAIN, run)


def _live_version(settings: Settings) -> str | None:
    try:
        return str(live(settings.live_url, headers=settings.server_headers)["model_version"])
    except ServerError:
        return None


def app_url(settings: Settings) -> str:
    return f"http://{settings.app_host}:{settings.app_port}"


def runs_url(settings: Settings) -> str:
    """MLflow's page of our runs; without `workflowType` it opens on a page about language models."""
    query = {"experiment_name": settings.question.name}
    url = f"{settings.tracking_url}/api/2.0/mlflow/experiments/get-by-name"
    answer = httpx.get(url, params=query, auth=settings.mlflow_login, timeout=10)
    if not answer.is_success:  # no run yet
        return settings.tracking_page
    number = answer.json()["experiment"]["experiment_id"]
    return f"{settings.tracking_page}/#/experiments/{number}?workflowType=machine_learning"


def run_dag(stack: Running, api: AirflowApi, dag: str, **params: Any) -> tuple[str, str]:
    """Trigger a DAG and follow it to its end; returns the run's id and state.

    Interrupted, the run is failed, so that it does not go on when the stack is started again.
    """
    api.unpause(dag)
    run = api.trigger(dag, params)
    console.print(f"[bold]{dag}[/] {run}")
    try:
        return run, follow(stack, api, dag, run)
    except KeyboardInterrupt:
        with suppress(Exception):
            api.fail_run(dag, run)
        raise


def follow(stack: Running, api: AirflowApi, dag: str, run: str) -> str:
    """Print what the tasks of a run do until it ends, keeping the stack alive; returns the run's state.

    Long tasks get a line every 10 seconds, from what they write to the lake.
    """
    shown: dict[tuple[str, int], str] = {}
    long_tasks = LongTasks(open_lake(stack.settings), run)
    while True:
        stack.check()
        with suppress(httpx.HTTPError):  # the API server may be starting again, or its disk is full
            state = api.run_state(dag, run)
            tasks = api.tasks(dag, run)
            _print_changes(tasks, shown)
            for line in long_tasks.describe(tasks, now=time.monotonic()):
                _print(line)
            if state in ENDED:
                return state
        time.sleep(1)


def _print_changes(tasks: list[dict[str, Any]], shown: dict[tuple[str, int], str]) -> None:
    for task in tasks:
        name, state = (task["task_id"], task["map_index"]), task["state"]
        if state in (None, shown.get(name)):
            continue
        shown[name] = state
        index = "" if task["map_index"] < 0 else f" [{task['rendered_map_index'] or task['map_index']}]"
        seconds = f"{task['duration']:.1f} s" if task["duration"] and state in ("success", "failed") else ""
        _print(f"{task['task_id']}{index}  [{_colour(state)}]{state}[/] {seconds}")


def _print(line: str) -> None:
    console.print(f"  {time.strftime('%H:%M:%S')}  {line}")


def _colour(state: str) -> str:
    return {"success": "green", "failed": "red", "skipped": "magenta", "running": "cyan"}.get(state, "dim")


def _print_addresses(settings: Settings, api: AirflowApi) -> None:
    console.print(f"Airflow  {api.url}  user {USER}, password {api.password}")
    console.print(f"MLflow   {runs_url(settings)}", soft_wrap=True)
    console.print(f"App      {app_url(settings)}")
    console.print(f"Server   {settings.live_url}/live")
    console.print(f"Lake     {settings.lake}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
