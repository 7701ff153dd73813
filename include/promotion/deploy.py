"""Move the alias, wait until the live server says so, else put it back."""

import logging
import time
from typing import Any

import httpx

from include.errors import ModelError
from include.lake.base import ObjectStore
from include.promotion.comparison import read_decision
from include.records import Decision
from include.registry.versions import champion_version, promote, restore
from include.settings import Settings
from include.training.mlflow_runs import connect

log = logging.getLogger(__name__)


def redeploy(store: ObjectStore, run: str) -> dict[str, str | None]:
    """Task: make the challenger champion. Safe to repeat, and to be cleared long after: see ``_move``."""
    settings, decision = Settings(), read_decision(store, run)
    if not decision.better:
        raise ModelError(f"the gate refused version {decision.challenger}: it is not deployed")
    _promote_if_unmoved(decision)
    wait_or_roll_back(settings, decision.challenger, replaced=decision.predecessor)
    return {"version": decision.challenger, "replaced": decision.predecessor}


def wait_or_roll_back(settings: Settings, version: str, *, replaced: str | None) -> None:
    """Wait for the live server; if it does not follow, put the alias back and raise ModelError with the reason."""
    refusal = wait_for_server(settings, version)
    if refusal is None:
        return
    client = connect()
    if champion_version(client) == version:  # else somebody moved it on meanwhile: theirs to answer for
        restore(client, replaced)
    raise ModelError(
        f"version {version} is not live: {refusal}; `champion` is {champion_version(client) or 'nobody'} now. "
        "Read the server's log, then try again"
    )


def wait_for_server(settings: Settings, version: str) -> str | None:
    """Wait for the live server to name this version; none when it does, else why it does not."""
    end = time.monotonic() + settings.deploy_timeout_seconds
    while time.monotonic() < end:
        live = _live(settings)
        if live.get("model_version") == version:
            log.info("version %s is live", version)
            return None
        if refused := live.get("refused", {}).get(version):
            return f"the model server refuses it: {refused}"
        time.sleep(0.5)
    return f"the model server did not serve it within {settings.deploy_timeout_seconds:.0f} seconds"


def _promote_if_unmoved(decision: Decision) -> None:
    """Only from the predecessor that was decided against, or not at all; raises ModelError when it moved since."""
    client = connect()
    now = champion_version(client)
    if now == decision.challenger:
        return
    if now != decision.predecessor:
        moved = f"`champion` moved from version {decision.predecessor} to {now} since the gate decided"
        raise ModelError(f"{moved}: trigger retrain anew")
    promote(client, decision.challenger, replaces=decision.predecessor)


def _live(settings: Settings) -> dict[str, Any]:
    """What the server says, also before its first model; nothing while it does not answer."""
    try:
        return dict(httpx.get(f"{settings.live_url}/live", timeout=5).json())
    except (httpx.HTTPError, ValueError, TypeError):
        return {}
