"""Move the alias, and wait until the live server serves the new version; else put the alias back."""

import logging
import time
from typing import Any

import httpx

from include.errors import ModelError, NotDeployed
from include.lake.base import ObjectStore
from include.promotion.comparison import read_decision
from include.records import Decision
from include.registry.versions import champion_version, promote, roll_back_alias
from include.settings import Settings
from include.training.mlflow_runs import Mlflow, connect

log = logging.getLogger(__name__)


def redeploy(store: ObjectStore, run: str, settings: Settings) -> dict[str, str | None]:
    """Task: make the challenger champion. Safe to repeat, and to be cleared long after: the alias moves only from the
    predecessor that the gate compared with.
    """
    decision, client = read_decision(store, run), connect(settings)
    if not decision.better:
        raise ModelError(f"version {decision.challenger} is not better by the gate: it is not deployed")
    _promote_if_unmoved(client, decision)
    wait_or_roll_back(client, settings, decision.challenger, replaced=decision.predecessor)
    return {"version": decision.challenger, "replaced": decision.predecessor}


def wait_or_roll_back(client: Mlflow, settings: Settings, version: str, *, replaced: str | None) -> None:
    """Wait until the live server serves ``version``; otherwise put the alias back.

    Raises ModelError where the server rejects the version, NotDeployed where it does not serve it in time.
    """
    rejection, served = wait_for_server(settings, version)
    if served:
        return
    if champion_version(client) == version:  # else somebody moved it on meanwhile, and answers for it
        roll_back_alias(client, replaced)
    champion = champion_version(client) or "none"
    message = f"`champion` is {champion} now. Read the server's log, then clear this task"
    if rejection:
        raise ModelError(f"version {version} is not live: the model server rejects it: {rejection}; {message}")
    seconds = settings.deploy_timeout_seconds
    raise NotDeployed(f"version {version} is not live: the model server did not serve it in {seconds:.0f} s; {message}")


def wait_for_server(settings: Settings, version: str) -> tuple[str | None, bool]:
    """Why the live server rejects this version, if it does; and whether it serves it."""
    end = time.monotonic() + settings.deploy_timeout_seconds
    while time.monotonic() < end:
        live = _live(settings)
        if live.get("model_version") == version:
            log.info("version %s is live", version)
            return None, True
        if rejection := live.get("rejected", {}).get(version):
            return str(rejection), False
        time.sleep(0.5)
    return None, False


def _promote_if_unmoved(client: Mlflow, decision: Decision) -> None:
    """Raises ModelError when the alias moved since the decision."""
    champion = champion_version(client)
    if champion == decision.challenger:
        return
    if champion != decision.predecessor:
        moved = f"`champion` moved from version {decision.predecessor} to {champion} since the gate decided"
        raise ModelError(f"{moved}: trigger retrain again")
    promote(client, decision.challenger, replaces=decision.predecessor)


def _live(settings: Settings) -> dict[str, Any]:
    """The server's answer, also before its first model; empty while it does not answer."""
    try:
        return dict(httpx.get(f"{settings.live_url}/live", timeout=5).json())
    except (httpx.HTTPError, ValueError, TypeError):
        return {}
