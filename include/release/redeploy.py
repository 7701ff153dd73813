"""Move the alias, wait until the live server says so, else put it back."""

import logging
import time

import httpx

from include.errors import ModelError
from include.lake.base import ObjectStore
from include.model.tracking import connect
from include.records import Decision
from include.release.contest import read_decision
from include.release.registry import champion_version, promote, restore
from include.settings import Settings

log = logging.getLogger(__name__)


def redeploy(store: ObjectStore, run: str) -> dict[str, str | None]:
    """Task: make the challenger champion. Safe to repeat, and to be cleared long after: see ``_move``."""
    settings, decision = Settings(), read_decision(store, run)
    if not decision.better:
        raise ModelError(f"the gate refused version {decision.challenger}: it is not deployed")
    _move(decision)
    follow_or_undo(settings, decision.challenger, replaced=decision.predecessor)
    return {"version": decision.challenger, "replaced": decision.predecessor}


def follow_or_undo(settings: Settings, version: str, *, replaced: str | None) -> None:
    """Wait for the live server; if it does not follow, put the alias back and raise ModelError."""
    if live_version_becomes(settings, version):
        return
    client = connect()
    if champion_version(client) == version:  # else somebody moved it on meanwhile: theirs to answer for
        restore(client, replaced)
    raise ModelError(
        f"the model server did not serve version {version} within {settings.live_within_seconds:.0f} seconds; "
        f"`champion` is {champion_version(client) or 'nobody'} again. Read the server's log, then try again"
    )


def live_version_becomes(settings: Settings, version: str) -> bool:
    """Wait until the live server names this version, for as long as the settings allow."""
    end = time.monotonic() + settings.live_within_seconds
    while time.monotonic() < end:
        if _live_version(settings) == version:
            log.info("version %s is live", version)
            return True
        time.sleep(0.5)
    return False


def _move(decision: Decision) -> None:
    """Only from the predecessor that was decided against, or not at all; raises ModelError when it moved since."""
    client = connect()
    now = champion_version(client)
    if now == decision.challenger:
        return
    if now != decision.predecessor:
        raise ModelError(
            f"`champion` moved from version {decision.predecessor} to {now} "
            "since the gate decided: trigger retrain anew"
        )
    promote(client, decision.challenger, replaces=decision.predecessor)


def _live_version(settings: Settings) -> str | None:
    try:
        answer = httpx.get(f"{settings.live_url}/live", timeout=5)
        return str(answer.json()["model_version"]) if answer.is_success else None
    except (httpx.HTTPError, ValueError, KeyError):
        return None
