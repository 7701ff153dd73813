"""The registry by hand: list the versions, or promote one of them."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import httpx
from mlflow.exceptions import MlflowException

from include.promotion.deploy import wait_or_roll_back
from include.promotion.publish_decision import CLOSE_CALL_TAG, DECISION_TAG, DIFFERENCE_TAG
from include.registry.versions import (
    ALIAS,
    REFERENCE,
    REPLACES_TAG,
    SUM_TAG,
    champion_version,
    download_and_verify,
    find_version,
    promote,
    reference_version,
    set_reference,
)
from include.settings import Settings
from include.training.mlflow_runs import DATASET_TAG, Mlflow

FIGURES = ("precision", "recall")
HEADINGS = ("version", "alias", "decision", "difference", *FIGURES, "dataset", "sha256", "replaces", "registered")


def list_versions(client: Mlflow) -> list[tuple[str, ...]]:
    """A row per version under HEADINGS, the newest first.

    The difference is to the champion that it met, in sure errors fewer per 1,000 photos.
    """
    aliases = {ALIAS: champion_version(client), REFERENCE: reference_version(client)}
    rows: list[tuple[str, ...]] = []
    versions = client.search_model_versions(f"name = '{client.name}'")
    for version in sorted(versions, key=lambda version: int(version.version), reverse=True):
        number, tags = str(version.version), version.tags
        at = ", ".join(alias for alias, named in aliases.items() if named and named.number == number)
        decided = tags.get(CLOSE_CALL_TAG) or tags.get(DECISION_TAG, ""), tags.get(DIFFERENCE_TAG, "")
        digests = tags.get(DATASET_TAG, "")[:12], tags.get(SUM_TAG, "")[:12]
        registered = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        last = tags.get(REPLACES_TAG, ""), f"{registered:%Y-%m-%d %H:%M:%SZ}"
        rows.append((number, at, *decided, *_figures(client, version.run_id), *digests, *last))
    return rows


def _figures(client: Mlflow, run_id: str) -> tuple[str, ...]:
    """Precision and recall on test, from the MLflow run of the version, where that is still there."""
    try:
        metrics = client.get_run(run_id).data.metrics
    except MlflowException:
        metrics = {}
    found = (metrics.get(f"test/{name}") for name in FIGURES)
    return tuple("" if value is None else f"{value:.3f}" for value in found)


def promote_version(client: Mlflow, number: str, settings: Settings, *, as_reference: bool = False) -> str:
    """Verify a version as the server will, move the alias, and wait for the server if it runs; returns a sentence.

    The reference moves only ``as_reference``: then later challengers are measured by this version, however good the
    reference was. Raises ModelError, NotDeployed.
    """
    version, before = find_version(client, number), champion_version(client)
    with tempfile.TemporaryDirectory() as scratch:
        download_and_verify(client, version, Path(scratch), settings.question)
    message = f"version {number} is champion already"
    if before != version:
        promote(client, version, replaces=before)
        message = f"version {number} is champion; it replaced {before or 'none'}"
        if _runs(settings):
            wait_or_roll_back(client, settings, version, replaced=before)
            message += " and is live"
        else:
            message += f". No model server answers at {settings.live_url}; the next one to start will serve it"
    if not as_reference:
        return message
    set_reference(client, version)  # last: a version that the server rejects must not become the reference
    return f"{message}. It is the reference, too"


def _runs(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.live_url}/ping", timeout=5).is_success
    except httpx.HTTPError:
        return False
