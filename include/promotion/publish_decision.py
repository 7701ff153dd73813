"""A decision where people look: in the log, in the MLflow run, and beside the model version."""

import json
import logging
from dataclasses import asdict
from typing import Any

from include.promotion.gate_words import summarize
from include.records import Decision
from include.registry.description import render_description
from include.registry.versions import set_description, tag_version
from include.training.mlflow_runs import Mlflow

log = logging.getLogger(__name__)

DECISION_TAG = "decision"
CLOSE_CALL_TAG = "close_call"  # what a person answered, and who
WHY_TAG = "close_call_why"
DIFFERENCE_TAG = "difference"  # to the champion, in sure errors per 1,000 photos, with its interval


def publish_decision(client: Mlflow, evaluation: dict[str, Any], decision: Decision, *, page: str) -> None:
    """Safe to repeat. ``page`` is HTML."""
    log.info("%s", summarize(decision))
    for rule in decision.rules:
        log.info("%s: %s: %s", rule.name, rule.result, rule.reason)
    for note in decision.notes:
        log.info("%s", note)
    run = evaluation["mlflow_run"]
    client.log_text(run, json.dumps(asdict(decision), indent=1), "evaluation/decision.json")
    client.log_text(run, page, "evaluation/decision.html")
    client.set_tag(run, DECISION_TAG, decision.outcome)
    tag_version(client, decision.challenger, {DECISION_TAG: decision.outcome} | _difference(decision))
    experiment = client.get_run(run).info.experiment_id
    link = f"#/experiments/{experiment}/runs/{run}/artifacts/evaluation/decision.html"
    description = render_description(evaluation, decision, summary=summarize(decision), page=link)
    set_description(client, decision.challenger, description)


def _difference(decision: Decision) -> dict[str, str]:
    """The tag with the difference to the champion, where there is one."""
    for comparison in decision.comparisons:
        if comparison.role == "champion":
            overall = comparison.overall
            return {DIFFERENCE_TAG: f"{overall.value:+.1f} ({overall.low:+.1f} to {overall.high:+.1f})"}
    return {}
