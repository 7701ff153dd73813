"""Move the alias, and wait until the live server serves the new version; else put the alias back."""

import logging
import time
from typing import Any

import httpx

from include.errors import ModelError, NotDeployed
from include.lake.base import ObjectStore
from include.promotion.close_calls import check_permitted, read_answer
from include.promotion.comparison import read_decision
from include.promotion.gate_words import describe_run
from include.records import Decision, ModelVersion
from include.registry.versions import (
    champion_version,
    find_version,
    promote,
    reference_version,
    registered_as,
    roll_back_alias,
    set_reference,
)
from include.settings import Settings
from include.training.mlflow_runs import Mlflow, connect

log = logging.getLogger(__name__)


def redeploy(store: ObjectStore, run: str, settings: Settings) -> dict[str, str | None]:
    """Task: make the challenger champion. Safe to repeat, and to be cleared long after: the alias moves only from the
    predecessor that the gate compared with.
    """
    decision, client = read_decision(store, run), connect(settings)
    version, before = decision.challenger, decision.predecessor
    check_permitted(store, run, decision)
    _promote_if_unmoved(client, decision)
    wait_or_roll_back(client, settings, version, replaced=before)
    _move_reference(client, decision)  # last: only what serves can become the reference
    told = describe_run(decision, read_answer(store, run, decision))
    return {"version": version.number, "replaced": before.number if before else None, "decision": told}


def _move_reference(client: Mlflow, decision: Decision) -> None:
    """Where somebody has moved it since the decision, or its next version is gone, it stays."""
    reference, following = reference_version(client), decision.next_reference
    if reference not in (decision.reference, following):
        log.warning("`reference` has moved to %s since the gate decided: it stays there", _with_sum(reference))
    elif following not in (reference, registered_as(client, following.number)):
        log.warning("version %s is gone from the registry: `reference` stays", _with_sum(following))
    else:
        set_reference(client, following)


def wait_or_roll_back(
    client: Mlflow, settings: Settings, version: ModelVersion, *, replaced: ModelVersion | None
) -> None:
    """Wait until the live server serves ``version``; otherwise put the alias back.

    Raises ModelError where the server rejects the version, NotDeployed where it does not serve it in time.
    """
    rejection, served = wait_for_server(settings, version)
    if served:
        return
    if champion_version(client) == version:  # else somebody moved it on meanwhile, and answers for it
        roll_back_alias(client, replaced)
    message = f"`champion` is {champion_version(client) or 'none'} now. Read the server's log, then clear this task"
    problem = f"version {version} is not live: the model server"
    if rejection:
        raise ModelError(f"{problem} rejects it: {rejection}; {message}")
    raise NotDeployed(f"{problem} did not serve it in {settings.deploy_timeout_seconds:.0f} s; {message}")


def wait_for_server(settings: Settings, version: ModelVersion) -> tuple[str | None, bool]:
    """Why the live server rejects this version, if it does; and whether it serves it: by its sum, not its number."""
    end = time.monotonic() + settings.deploy_timeout_seconds
    while time.monotonic() < end:
        live = _live(settings)
        if live.get("sha256") == version.sha256:
            log.info("version %s is live", version)
            return None, True
        if rejection := live.get("rejected", {}).get(version.sha256):
            return str(rejection), False
        time.sleep(0.5)
    return None, False


def _with_sum(version: ModelVersion | None) -> str:
    """For a sentence on two versions, which may have one number."""
    return f"{version} ({version.sha256[:8]})" if version else "none"


def _promote_if_unmoved(client: Mlflow, decision: Decision) -> None:
    """Raises ModelError when the alias moved since the decision."""
    champion, before = champion_version(client), decision.predecessor
    if champion == decision.challenger:
        return
    if champion != before:
        moved = f"`champion` moved from version {_with_sum(before)} to {_with_sum(champion)} since the gate decided"
        raise ModelError(f"{moved}: trigger retrain again")
    if find_version(client, decision.challenger.number) != decision.challenger:
        gone = f"the registry has another version {decision.challenger} than the gate compared"
        raise ModelError(f"{gone}: trigger retrain again")
    promote(client, decision.challenger, replaces=before)


def _live(settings: Settings) -> dict[str, Any]:
    """The server's answer, also before its first model; empty while it does not answer."""
    try:
        return dict(httpx.get(f"{settings.live_url}/live", headers=settings.server_headers, timeout=5).json())
    except (httpx.HTTPError, ValueError, TypeError):
        return {}
