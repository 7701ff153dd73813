"""What the lake knows of models: the reports of runs."""

import json
from typing import Any

from include.lake import layout
from include.lake.base import ObjectStore, read_existing

Report = dict[str, Any]
NEWEST = 30  # reports that are read at most


def read_reports(store: ObjectStore) -> list[Report]:
    """The reports of the last runs, the newest first; those of an older form are left out."""
    keys = [key for key in store.keys(layout.RUNS) if layout.is_run_report(key)]
    reports = [json.loads(body) for body in read_existing(store, keys) if body]
    whole = [report for report in reports if {"test", "version", "sha256", "summary"} <= report.keys()]
    newest = sorted(whole, key=lambda report: (report.get("registered_at", ""), int(report["version"])), reverse=True)
    return newest[:NEWEST]


def report_of(reports: list[Report], live: dict[str, Any], version: str) -> Report | None:
    """The report about the model that answered: the live one by its sum; none where another has answered."""
    if live.get("model_version") != version:
        return None
    return next((report for report in reports if report.get("sha256") == live.get("sha256")), None)
