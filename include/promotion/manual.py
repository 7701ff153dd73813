"""The registry by hand: list the versions, or promote one of them."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import httpx

from include.promotion.deploy import wait_or_roll_back
from include.registry.versions import (
    REPLACES_TAG,
    SUM_TAG,
    champion_version,
    download_and_verify,
    find_version,
    promote,
)
from include.settings import Settings
from include.training.mlflow_runs import DATASET_TAG, Mlflow

HEADINGS = ("version", "champion", "dataset", "sha256", "replaces", "registered")


def list_versions(client: Mlflow) -> list[tuple[str, ...]]:
    """A row per version under HEADINGS, the newest first."""
    champion = champion_version(client)
    at = champion.number if champion else None
    versions = client.search_model_versions(f"name = '{client.name}'")
    rows: list[tuple[str, ...]] = []
    for version in sorted(versions, key=lambda version: int(version.version), reverse=True):
        tags, registered = version.tags, datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        mark = "*" if str(version.version) == at else ""
        digests = tags.get(DATASET_TAG, "")[:12], tags.get(SUM_TAG, "")[:12]
        row = str(version.version), mark, *digests, tags.get(REPLACES_TAG, ""), f"{registered:%Y-%m-%d %H:%M:%SZ}"
        rows.append(row)
    return rows


def promote_version(client: Mlflow, number: str, settings: Settings) -> str:
    """Verify a version as the server will, move the alias, and wait for the server if it runs; returns a sentence.

    Raises ModelError, NotDeployed.
    """
    version, before = find_version(client, number), champion_version(client)
    with tempfile.TemporaryDirectory() as scratch:
        download_and_verify(client, version, Path(scratch), settings.question)
    if before == version:
        return f"version {number} is champion already"
    promote(client, version, replaces=before)
    message = f"version {number} is champion; it replaced {before or 'none'}"
    if not _runs(settings):
        return f"{message}. No model server answers at {settings.live_url}; the next one to start will serve it"
    wait_or_roll_back(client, settings, version, replaced=before)
    return f"{message} and is live"


def _runs(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.live_url}/ping", timeout=5).is_success
    except httpx.HTTPError:
        return False
