"""Close calls that a person settles: the answer, and whether it still counts."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from include.errors import ModelError, ObjectNotFound
from include.lake import layout
from include.lake.base import ObjectStore
from include.promotion.comparison import read_decision
from include.promotion.gate_words import NO_REASON, describe_answer, describe_run
from include.promotion.publish_decision import CLOSE_CALL_TAG, WHY_TAG
from include.records import PROMOTE, WHY, Answer, Decision
from include.registry.versions import champion_version, tag_version
from include.settings import Settings
from include.training.mlflow_runs import connect

log = logging.getLogger(__name__)


def take_answer(store: ObjectStore, run: str, given: Mapping[str, Any], settings: Settings) -> tuple[Decision, Answer]:
    """Task: keep a person's answer to a decision. Safe to repeat.

    ``given`` is what Airflow's HITLOperator returns. An answer counts only while the champion is the one that the gate
    compared with: after that it is about something else, and the champion stays.
    """
    decision, client = read_decision(store, run), connect(settings)
    answer = Answer(
        promote=PROMOTE in given["chosen_options"],
        counts=champion_version(client) in (decision.predecessor, decision.challenger),
        **_compared(decision),
        answered_by=_who(given),
        why=str((given.get("params_input") or {}).get(WHY) or ""),
        answered_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    store.write(layout.answer(run), answer.to_json())
    tag_version(
        client, decision.challenger, {CLOSE_CALL_TAG: describe_answer(answer), WHY_TAG: answer.why or NO_REASON}
    )
    log.info("%s", describe_run(decision, answer))
    return decision, answer


def read_answer(store: ObjectStore, run: str, decision: Decision) -> Answer | None:
    """The answer about this decision, if it is a close call that somebody was asked about."""
    if decision.action != "ask":
        return None
    with suppress(ObjectNotFound):
        answer = Answer.from_json(store.read(layout.answer(run)))
        if _compared(decision).items() <= asdict(answer).items():
            return answer
    return None


def check_permitted(store: ObjectStore, run: str, decision: Decision) -> None:
    """Raises ModelError where neither the gate nor a person lets the challenger serve."""
    answer = read_answer(store, run, decision)
    if decision.action == "promote" or (answer and answer.promotes):
        return
    told = f" ({describe_answer(answer)})" if answer else ""
    outcome = "a close call" if decision.outcome == "close call" else decision.outcome
    raise ModelError(f"version {decision.challenger} is {outcome}{told}: it is not deployed")


def failed_rules(store: ObjectStore, run: str) -> list[str]:
    """Task: why the champion stays: each rule that did not pass with its figures, and a person's answer."""
    decision = read_decision(store, run)
    reasons = [f"{rule.name}: {rule.reason}" for rule in decision.rules if rule.result != "passed"]
    if answer := read_answer(store, run, decision):
        reasons.append(f"{describe_answer(answer)}: {answer.why or NO_REASON}")
    for reason in reasons:
        log.info("%s: %s", decision.outcome, reason)
    return reasons


def _compared(decision: Decision) -> dict[str, Any]:
    """The versions that an answer is about, by their sums."""
    before = decision.predecessor
    return {"challenger": decision.challenger.sha256, "predecessor": before.sha256 if before else None}


def _who(given: Mapping[str, Any]) -> str:
    """The name of who answered; empty where nobody did in time."""
    user = given.get("responded_by_user")
    if not user:
        return ""
    return str(user.get("name") or user.get("id") if isinstance(user, Mapping) else user)
