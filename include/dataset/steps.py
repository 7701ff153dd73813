"""The tasks that turn a snapshot into a dataset version; and the proof that its digest can be computed again."""

import logging
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd

from include.backbone import VERSION
from include.dataset import deduplication, label_issues, splits
from include.dataset.card import render_card, render_clusters
from include.dataset.duplicate_pairs import update_pairs
from include.dataset.embeddings import read_embeddings
from include.dataset.facts import HASHES, read_facts
from include.dataset.manifest import check_splits, digest_of, read_manifest, read_report, to_manifest
from include.errors import DatasetError
from include.ingestion.base_sets import read_lake
from include.ingestion.snapshot import POLICY_VERSION, read_snapshot
from include.ingestion.uploads import fingerprint, lake_secret
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_table, write_json, write_table
from include.question import Question
from include.records import UPLOADS
from include.settings import Policy, Settings
from include.status import Status

log = logging.getLogger(__name__)

IDENTITY = ["key", "source", "split", "label", "label_origin"]
STATUS_COLUMNS = [*IDENTITY, "status", "reason", "cluster", "oversized", "label_issue", "label_quality"]


def deduplicate(store: ObjectStore, run: str, policy: Policy) -> str:
    """Task: every photo of the snapshot with its facts, and the status of near-duplicates and conflicting labels."""
    photos = mark_near_duplicates(store, gather(store, run), policy)
    return write_table(store, layout.run_deduplicated(run), photos)


def check_labels(store: ObjectStore, run: str, settings: Settings) -> str:
    """Task: the status of photos whose label is probably wrong."""
    photos = read_table(store, layout.run_deduplicated(run))
    photos = check_all_labels(store, photos, settings.policy, settings.question, settings.embedding_cache)
    return write_table(store, layout.run_labels(run), photos)


def sample(store: ObjectStore, run: str, question: Question, *, images_per_source: int) -> str:
    """Task: which photos this run uses, and which wait for a review."""
    photos = read_table(store, layout.run_labels(run))
    sampled = sample_photos(photos, images_per_source=images_per_source, seed=_lake_seed(store, question))
    return write_table(store, layout.run_sample(run), sampled)


def publish(store: ObjectStore, run: str, settings: Settings, *, images_per_source: int, run_url: str = "") -> str:
    """Task: write the manifest under its digest, a report, the status of every photo, and the card.

    Returns the digest. Raises DatasetError when a split lacks one of the two labels.
    """
    photos = read_table(store, layout.run_sample(run))
    manifest = to_manifest(photos, settings.question)
    check_splits(manifest)
    digest = digest_of(manifest)
    write_table(store, layout.manifest(digest), manifest)
    report = {"digest": digest, "run": run, "images_per_source": images_per_source}
    report |= {"policy": settings.policy.model_dump(), "question": settings.question.model_dump(mode="json")}
    report |= {"policy_version": POLICY_VERSION, "backbone": VERSION} | summarize(photos)
    write_json(store, layout.dataset_report(digest), report)
    write_table(store, layout.dataset_statuses(digest), photos[STATUS_COLUMNS].sort_values("key"))
    store.write(layout.dataset_clusters(digest), render_clusters(store, photos, digest=digest).encode())
    cache = settings.embedding_cache
    card = render_card(store, photos, settings.question, digest=digest, run=run, run_url=run_url, cache=cache)
    store.write(layout.dataset_card(digest), card.encode())
    _keep_validation(store, run, digest)
    log.info("dataset %s: %d photos; statuses: %s", digest[:12], len(manifest), report["statuses"])
    return digest


def _keep_validation(store: ObjectStore, run: str, digest: str) -> None:
    """The results of the task `validate` stay with the dataset version that they passed."""
    pages = {
        layout.run_validation(run): layout.dataset_validation(digest),
        layout.run_validation_page(run): layout.dataset_validation_page(digest),
    }
    for source, target in pages.items():
        if store.exists(source):
            store.write(target, store.read(source))


def rebuild(store: ObjectStore, digest: str, question: Question, *, cache: Path) -> pd.DataFrame:
    """Compute a manifest again from the snapshot of its run; raises DatasetError if the digests differ.

    ``cache`` is this machine's folder of embeddings.
    """
    report = read_report(store, digest)
    if (report.get("policy_version"), report.get("backbone")) != (POLICY_VERSION, VERSION):
        raise DatasetError(f"dataset {digest} was made by rules that this code no longer has: run retrain once")
    policy = Policy(**report["policy"])
    photos = mark_near_duplicates(store, gather(store, report["run"]), policy)
    photos = check_all_labels(store, photos, policy, question, cache)
    seed = _lake_seed(store, question)
    manifest = to_manifest(sample_photos(photos, images_per_source=report["images_per_source"], seed=seed), question)
    rebuilt = digest_of(manifest)
    if rebuilt != digest or digest_of(read_manifest(store, digest)) != digest:
        raise DatasetError(f"dataset {digest} does not rebuild: its snapshot {report['run']!r} now gives {rebuilt}")
    return manifest


def gather(store: ObjectStore, run: str) -> pd.DataFrame:
    """One row per photo of the snapshot, joined with its facts.

    ``sha256`` is the photo's name: a plain hash for base photos, the keyed fingerprint for uploads.
    """
    base, uploads = read_snapshot(store, run)
    photos = pd.concat([base, uploads], ignore_index=True)
    facts = read_facts(store, uploads).rename(columns={"problem": "broken"})
    photos = photos.merge(facts, on="key", how="left", validate="one_to_one")
    secret = lake_secret(store)
    photos["fingerprint"] = photos["fingerprint"].fillna(photos["key"].map(lambda key: fingerprint(secret, key)))
    photos["sha256"] = photos["sha256"].fillna(photos["fingerprint"])
    photos["problem"] = photos["problem"].fillna(photos["broken"])
    photos["split"] = photos["bucket"].fillna(0).map(splits.split_of_bucket).astype("string")
    return photos.drop(columns=["broken", "bucket"])


def mark_near_duplicates(store: ObjectStore, photos: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """The status of unusable photos and of near-duplicates."""
    pairs = update_pairs(store, photos, policy.near_duplicates)
    photos = deduplication.exclude_unusable(photos.drop(columns=[*HASHES, "part"]), policy.quality)
    clustered = deduplication.find_clusters(photos, pairs, max_cluster=policy.near_duplicates.max_cluster)
    return deduplication.drop_near_duplicates(clustered)


def check_all_labels(
    store: ObjectStore, photos: pd.DataFrame, policy: Policy, question: Question, cache: Path
) -> pd.DataFrame:
    """The status of photos with a label issue, by the embeddings of all photos without a status."""
    free = photos.loc[photos["status"].isna(), "key"]
    embeddings = read_embeddings(store, free, cache)
    return label_issues.find_label_issues(photos, embeddings, policy.labels, question)


def sample_photos(photos: pd.DataFrame, *, images_per_source: int, seed: int) -> pd.DataFrame:
    return splits.sample(splits.hold_for_review(photos), images_per_source=images_per_source, seed=seed)


def summarize(photos: pd.DataFrame) -> dict[str, Any]:
    """Counts per source and split, and statuses: counted per source; photo by photo for uploads and excluded photos."""
    used = photos[photos["status"] == Status.USED]
    listed = photos[(photos["source"] == UPLOADS) | ~photos["status"].isin([Status.USED, Status.NOT_SAMPLED])]
    return {
        "images": _counts(used, "split"),
        "labels": _counts(used, "label"),
        "statuses": _counts(photos, "status"),
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


def _lake_seed(store: ObjectStore, question: Question) -> int:
    return int(read_lake(store, question)["seed"])
