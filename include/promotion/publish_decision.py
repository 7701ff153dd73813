"""A decision where people look: in the log, in the MLflow run, and beside the model version."""

import json
import logging
from dataclasses import asdict
from typing import Any

from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json
from include.promotion.gate_words import describe_run, shorten, summarize
from include.records import Decision
from include.registry.description import render_description
from include.registry.versions import set_description, tag_version, untag_version
from include.settings import Settings
from include.training.mlflow_runs import Mlflow, connect

log = logging.getLogger(__name__)

DECISION_TAG = "decision"
CLOSE_CALL_TAG = "close_call"  # what a person answered, and who
WHY_TAG = "close_call_why"
DIFFERENCE_TAG = "difference"  # to the champion, in sure errors per 1,000 photos, with its interval


def publish_decision(client: Mlflow, evaluation: dict[str, Any], decision: Decision, *, page: str) -> None:
    """Safe to repeat. ``page`` is HTML."""
    log.info("%s", describe_run(decision))
    for rule in decision.rules:
        log.info("%s: %s: %s", rule.name, rule.result, rule.reason)
    for note in decision.notes:
        log.info("%s", note)
    run = evaluation["mlflow_run"]
    client.log_text(run, json.dumps(asdict(decision), indent=1), "evaluation/decision.json")
    client.log_text(run, page, "evaluation/decision.html")
    client.set_tag(run, DECISION_TAG, decision.outcome)
    untag_version(client, decision.challenger, (CLOSE_CALL_TAG, WHY_TAG, DIFFERENCE_TAG))  # of an earlier decision
    tag_version(client, decision.challenger, {DECISION_TAG: decision.outcome} | _difference(decision))
    description = render_description(evaluation, decision, summary=summarize(decision), page=page_link(client, run))
    set_description(client, decision.challenger, description)


def decision_url(store: ObjectStore, run: str, settings: Settings) -> str:
    """Where a person finds the page of the run's decision in MLflow."""
    mlflow_run = read_json(store, layout.run_evaluation(run))["mlflow_run"]
    return f"{settings.tracking_page}{page_link(connect(settings), mlflow_run)}"


def page_link(client: Mlflow, mlflow_run: str) -> str:
    """Where MLflow shows the page of a decision, behind the address of its server."""
    experiment = client.get_run(mlflow_run).info.experiment_id
    return f"/#/experiments/{experiment}/runs/{mlflow_run}/artifacts/evaluation/decision.html"


def _difference(decision: Decision) -> dict[str, str]:
    """The tag with the difference to the champion, where there is one."""
    for comparison in decision.comparisons:
        if comparison.role == "champion":
            return {DIFFERENCE_TAG: shorten(comparison.overall)}
    return {}
