"""The result of a demo: as a dict for `last_run.json`, and as tables on the terminal."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json
from include.records import SPLITS
from stack.airflow_api import AirflowApi

LOG_LINES = 15


def summarize_run(api: AirflowApi, store: ObjectStore, dag: str, run: str) -> dict[str, Any]:
    """A run that ended well: its own report, or that of the last decided run when nothing was new."""
    own = layout.run_report(run)
    key = own if store.exists(own) else layout.run_report(read_json(store, layout.LATEST_RUN)["run"])
    report = read_json(store, key) if store.exists(key) else {}  # that run may have failed after its decision
    if "summary" not in report:  # of an older version of this code
        report = {}
    kept = report and report["champion"] != report["version"]
    result = report["decision"]["outcome"] if kept else "redeployed"
    outcome = {"outcome": result if key == own else "nothing new", "run": run}
    return report | outcome | {"steps": step_seconds(api, dag, run)}


def summarize_failure(api: AirflowApi, dag: str, run: str) -> dict[str, Any]:
    """Which task failed, and the last lines of its log."""
    failed = [task for task in api.tasks(dag, run) if task["state"] == "failed"]
    lines = api.log_lines(dag, run, failed[0])[-LOG_LINES:] if failed else ["no task failed: the run was stopped"]
    name = failed[0]["task_id"] if failed else None
    return {"outcome": "failed", "dag": dag, "run": run, "failed_task": name, "log": lines}


def step_seconds(api: AirflowApi, dag: str, run: str) -> dict[str, float]:
    """Seconds of work per task; mapped tasks are added up."""
    seconds: dict[str, float] = {}
    for task in api.tasks(dag, run):
        if task["duration"] and task["state"] == "success":
            seconds[task["task_id"]] = round(seconds.get(task["task_id"], 0) + task["duration"], 1)
    return seconds


def save_summary(path: Path, summary: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=1))


def show_summary(console: Console, summary: dict[str, Any]) -> None:
    if summary["outcome"] == "failed":
        console.print(f"[red]{summary['dag']}: task {summary['failed_task']} failed.[/] The end of its log:")
        console.print("\n".join(summary["log"]), markup=False, highlight=False)
        return
    if summary["outcome"] == "nothing new":
        console.print("Nothing was new since the last run, so nothing was trained. The result of that run:")
    if "decision" in summary:
        for table in (_images(summary), _metrics(summary), _gate(summary)):
            console.print(table)
    console.print(_steps(summary))
    console.print(f"Live now: version {summary['live']}")


def _images(summary: dict[str, Any]) -> Table:
    table = Table("source", *SPLITS, title=f"Images of dataset {summary['dataset'][:12]}")
    for source, splits in summary["images"].items():
        table.add_row(source, *(str(splits.get(split, 0)) for split in SPLITS))
    return table


def _metrics(summary: dict[str, Any]) -> Table:
    title = f"Version {summary['version']} on the test split"
    table = Table("metric", "value", "95 % interval", title=title)
    for name, metric in summary["test"].items():
        table.add_row(name.replace("_", " "), f"{metric['value']:.3f}", f"{metric['low']:.3f} to {metric['high']:.3f}")
    return table


def _gate(summary: dict[str, Any]) -> Table:
    table = Table("rule", "result", "figures", title=f"Gate: {summary['summary']}")
    for rule in summary["decision"]["rules"]:
        result = rule["result"]
        table.add_row(rule["name"], result if result == "passed" else f"[red]{result}[/]", rule["reason"])
    return table


def _steps(summary: dict[str, Any]) -> Table:
    table = Table("step", "seconds", title=f"Time: {summary['seconds_in_all']:.0f} s in all")
    for step, seconds in summary["steps"].items():
        table.add_row(step, f"{seconds:.1f}")
    return table
