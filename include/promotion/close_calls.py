"""Close calls that a person settles: the answer, and whether it still counts."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from include.errors import ModelError, ObjectNotFound
from include.lake import layout
from include.lake.base import ObjectStore
from include.promotion.comparison import read_decision
from include.promotion.gate_words import describe_outcome
from include.promotion.publish_decision import CLOSE_CALL_TAG, WHY_TAG
from include.records import PROMOTE, Answer, Decision
from include.registry.versions import champion_version, tag_version
from include.settings import Settings
from include.training.mlflow_runs import connect

log = logging.getLogger(__name__)

WHY = "why"  # the param
NOBODY = "nobody in time"
NO_REASON = "no reason given"


def take_answer(store: ObjectStore, run: str, given: Mapping[str, Any], settings: Settings) -> Answer:
    """Task: keep a person's answer, which says whether the challenger is promoted. Safe to repeat.

    ``given`` is what Airflow's HITLOperator returns. An answer counts only while the champion is the one that the gate
    compared with: after that it is about something else, and the champion stays.
    """
    decision, client = read_decision(store, run), connect(settings)
    wanted = PROMOTE in given["chosen_options"]
    champion = champion_version(client)
    moved = champion not in (decision.predecessor, decision.challenger)
    answer = Answer(
        promote=wanted and not moved,
        challenger=decision.challenger.sha256,
        predecessor=decision.predecessor.sha256 if decision.predecessor else None,
        answered_by=_who(given),
        why=str((given.get("params_input") or {}).get(WHY) or ""),
        answered_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    store.write(layout.answer(run), answer.to_json())
    if wanted and moved:
        log.warning("`champion` has moved on to %s since: the answer does not count, the champion stays", champion)
    tags = {CLOSE_CALL_TAG: _outcome(answer), WHY_TAG: answer.why or NO_REASON}
    tag_version(client, decision.challenger, tags)
    log.info("%s", describe_answer(answer))
    return answer


def describe_answer(answer: Answer) -> str:
    """For people, with the reason that was given."""
    return f"A close call, {_outcome(answer)}: {answer.why or NO_REASON}"


def _outcome(answer: Answer) -> str:
    return f"{'promoted' if answer.promote else 'kept back'} by {answer.answered_by}"


def read_answer(store: ObjectStore, run: str, decision: Decision) -> Answer | None:
    """The answer about this decision, if there is one."""
    with suppress(ObjectNotFound):
        answer = Answer.from_json(store.read(layout.answer(run)))
        before = decision.predecessor.sha256 if decision.predecessor else None
        if (answer.challenger, answer.predecessor) == (decision.challenger.sha256, before):
            return answer
    return None


def check_permitted(store: ObjectStore, run: str, decision: Decision) -> None:
    """Raises ModelError where neither the gate nor a person lets the challenger serve."""
    if decision.action == "promote":
        return
    answer = read_answer(store, run, decision) if decision.action == "ask" else None
    if answer is None or not answer.promote:
        told = f", and {answer.answered_by} kept it back" if answer else ""
        raise ModelError(f"version {decision.challenger} is {describe_outcome(decision)}{told}: it is not deployed")


def failed_rules(store: ObjectStore, run: str) -> list[str]:
    """Task: why the champion stays: each rule that did not pass with its figures, and a person's answer."""
    decision = read_decision(store, run)
    reasons = [f"{rule.name}: {rule.reason}" for rule in decision.rules if rule.result != "passed"]
    if answer := read_answer(store, run, decision):
        reasons.append(f"{answer.answered_by} answered: {answer.why or NO_REASON}")
    for reason in reasons:
        log.info("%s: %s", decision.outcome, reason)
    return reasons


def _who(given: Mapping[str, Any]) -> str:
    user = given.get("responded_by_user")
    if not user:
        return NOBODY
    return str(user.get("name") or user.get("id") if isinstance(user, Mapping) else user)
