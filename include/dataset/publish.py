"""The task `publish_dataset`: a dataset version, written once, and the report of the run that made it."""

import logging
from collections.abc import Hashable
from dataclasses import asdict
from typing import Any

import pandas as pd

from include.backbone import VERSION
from include.dataset.card import render_card, render_clusters
from include.dataset.crowd_report import list_crowds
from include.dataset.manifest import check_splits, digest_of, to_manifest
from include.dataset.steps import read_sample
from include.errors import DatasetError
from include.ingestion.snapshot import POLICY_VERSION
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, to_json, to_parquet, write_json
from include.records import UPLOADS
from include.settings import Settings
from include.status import Status

log = logging.getLogger(__name__)

IDENTITY = ["key", "source", "split", "label", "label_origin"]
STATUS_COLUMNS = [*IDENTITY, "status", "reason", "cluster", "crowd", "label_issue", "label_quality"]


def publish(store: ObjectStore, run: str, settings: Settings, *, images_per_source: int, run_url: str = "") -> str:
    """Task: write the manifest under its digest; the card, the status of every photo and a report lie with the run.

    The first run of a version also writes them beside the manifest, once: a later run may have seen other photos that
    it did not use. Returns the digest. Raises DatasetError when a split lacks one of the two labels.
    """
    photos = read_sample(store, run, settings, images_per_source=images_per_source)
    manifest = to_manifest(photos, settings.question)
    check_splits(manifest)
    digest = digest_of(manifest)
    report = {"digest": digest, "run": run} | rules(settings, images_per_source)
    report |= {"question": settings.question.model_dump(mode="json")} | summarize(photos)
    pages = _pages(store, photos, settings, digest=digest, run=run, run_url=run_url) | _validation(store, run, digest)
    for name in ("card.html", "clusters.html", "statuses.parquet"):
        store.write(layout.run_page(run, name), pages[name])
    pages |= {"manifest.parquet": to_parquet(manifest)}
    _publish_once(store, report, pages)
    write_json(store, layout.run_dataset(run), report)
    log.info("dataset %s: %d photos; statuses: %s", digest[:12], len(manifest), report["statuses"])
    return digest


def rules(settings: Settings, images_per_source: int) -> dict[str, Any]:
    """All that decides which photos of a snapshot a dataset version takes, as its report holds it."""
    versions = {"policy_version": POLICY_VERSION, "backbone": VERSION}
    return {"images_per_source": images_per_source, "policy": settings.policy.model_dump()} | versions


def read_published(store: ObjectStore, run: str, digest: str) -> dict[str, Any]:
    """The report of the dataset version that the run published. Raises DatasetError where that was another one."""
    report: dict[str, Any] = read_json(store, layout.run_dataset(run))
    if report["digest"] != digest:
        problem = f"the run published dataset {report['digest']}, and its model was trained on {digest}"
        raise DatasetError(f"{problem}: clear the task tune and all that follow it")
    return report


def summarize(photos: pd.DataFrame) -> dict[str, Any]:
    """Counts per source and split, crowds, and statuses: per source; one by one for uploads and excluded photos."""
    used = photos[photos["status"] == Status.USED]
    listed = photos[(photos["source"] == UPLOADS) | ~photos["status"].isin([Status.USED, Status.NOT_SAMPLED])]
    return {
        "images": _counts(used, "split"),
        "labels": _counts(used, "label"),
        "statuses": _counts(photos, "status"),
        "crowds": [asdict(crowd) for crowd in list_crowds(photos)],
        "photos": [_status(photo) for photo in listed.sort_values("key").to_dict("records")],
    }


def _status(photo: dict[Hashable, Any]) -> dict[str, Any]:
    names = ("key", "split", "label", "status", "reason")
    return {name: None if pd.isna(photo[name]) else photo[name] for name in names}


def _counts(photos: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for (source, value), count in photos.groupby(["source", column]).size().items():
        counts.setdefault(str(source), {})[str(value)] = int(count)
    return counts


def _pages(
    store: ObjectStore, photos: pd.DataFrame, settings: Settings, *, digest: str, run: str, run_url: str
) -> dict[str, bytes]:
    """What people read about the photos of the run, by file name."""
    cache = settings.embedding_cache
    card = render_card(store, photos, settings.question, digest=digest, run=run, run_url=run_url, cache=cache)
    clusters = render_clusters(store, photos, digest=digest)
    statuses = to_parquet(photos[STATUS_COLUMNS].sort_values("key"))
    return {"card.html": card.encode(), "clusters.html": clusters.encode(), "statuses.parquet": statuses}


def _validation(store: ObjectStore, run: str, digest: str) -> dict[str, bytes]:
    """The results of the task `validate` stay with the dataset version that they are about; none where it did not run.

    Raises DatasetError where they are about another one.
    """
    key = layout.run_validation(run)
    if not store.exists(key):
        return {}
    if read_json(store, key).get("dataset") != digest:
        raise DatasetError(f"{key} is about other photos than those of dataset {digest}: clear the task validate")
    return {"validation.json": store.read(key), "validation.html": store.read(layout.run_validation_page(run))}


def _publish_once(store: ObjectStore, report: dict[str, Any], files: dict[str, bytes]) -> None:
    """Write the files of a version, its report last: a version with a report is complete, and stays as it is.

    But for one by rules that this code no longer has: nobody could rebuild it.
    """
    digest = report["digest"]
    key = layout.dataset_report(digest)
    if store.exists(key):
        sealed = read_json(store, key)
        if all(sealed.get(name) == report[name] for name in ("policy_version", "backbone")):
            log.info("dataset %s was published by run %s; its pages stay as they are", digest[:12], sealed["run"])
            return
    for name, body in files.items():
        store.write(layout.dataset_file(digest, name), body)
    store.write(key, to_json(report))
