"""The registry at the command line: list the versions, or make one of them champion by hand."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pandas as pd
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from include.errors import CatError
from include.promotion.deploy import wait_or_roll_back
from include.registry.versions import MODEL, REPLACES_TAG, SUM_TAG, champion_version, fetch, promote
from include.settings import Settings
from include.training.mlflow_runs import DATASET_TAG, connect

HEADINGS = ("version", "champion", "dataset", "sha256", "replaces", "registered")


def list_versions(client: MlflowClient) -> list[tuple[str, ...]]:
    """A row per version under HEADINGS, the newest first."""
    champion = champion_version(client)
    found = client.search_model_versions(f"name = '{MODEL}'")
    rows: list[tuple[str, ...]] = []
    for version in sorted(found, key=lambda one: int(one.version), reverse=True):
        tags, made = version.tags, datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        mark = "*" if str(version.version) == champion else ""
        sums = tags.get(DATASET_TAG, "")[:12], tags.get(SUM_TAG, "")[:12]
        rows.append((str(version.version), mark, *sums, tags.get(REPLACES_TAG, ""), f"{made:%Y-%m-%d %H:%M:%SZ}"))
    return rows


def make_champion(client: MlflowClient, version: str, settings: Settings) -> str:
    """Verify a version as the server will, move the alias, and wait for the server if it runs; raises ModelError."""
    with tempfile.TemporaryDirectory() as scratch:
        fetch(client, version, Path(scratch))
    before = champion_version(client)
    if before == version:
        return f"version {version} is champion already"
    promote(client, version, replaces=before)
    told = f"version {version} is champion; it replaced {before or 'nobody'}"
    if not _runs(settings):
        return f"{told}. No model server answers at {settings.live_url}; the next one to start will serve it"
    wait_or_roll_back(settings, version, replaced=before)
    return f"{told} and is live"


def _runs(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.live_url}/ping", timeout=5).is_success
    except httpx.HTTPError:
        return False


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m include.promotion.console", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("list", help="every version, the newest first; also without a command")
    commands.add_parser("champion", help="make a version champion").add_argument("version")
    options, settings = parser.parse_args(given), Settings()
    MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(1)  # a person waits
    try:
        client = connect(settings)
        if options.command == "champion":
            told = make_champion(client, options.version, settings)
        else:
            told = pd.DataFrame(list_versions(client), columns=HEADINGS).to_string(index=False)
    except CatError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except MlflowException as error:
        reason = str(error).partition("\n")[0][:200]
        sys.stderr.write(f"the registry at {settings.tracking_url} does not answer as it should: {reason}\n")
        return 1
    sys.stdout.write(f"{told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
