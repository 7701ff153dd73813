"""The tasks that turn a snapshot into a dataset version; and the proof that its digest can be worked out again."""

import logging
from pathlib import Path

import pandas as pd

from include.backbone import VERSION
from include.dataset import deduplication, label_issues, splits
from include.dataset.card import render_card, render_clusters
from include.dataset.duplicate_pairs import find_duplicate_pairs
from include.dataset.embeddings import read_embeddings
from include.dataset.facts import HASHES, read_facts
from include.dataset.manifest import check_sides, digest_of, read_manifest, read_report, to_manifest
from include.errors import DatasetError
from include.ingestion.snapshot import POLICY_VERSION, read_snapshot
from include.ingestion.uploads import fingerprint, lake_secret
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, read_table, write_json, write_table
from include.records import UPLOADS
from include.settings import Policy

log = logging.getLogger(__name__)

ABOUT = ["key", "source", "split", "label", "label_origin"]
STATUS_COLUMNS = [*ABOUT, "status", "reason", "cluster", "oversized", "label_issue", "label_quality"]


def deduplicate(store: ObjectStore, run: str, policy: Policy) -> str:
    """Task: every photo of the snapshot with its facts, and the fate of copies and conflicts."""
    photos = find_near_duplicates(store, gather(store, run), policy)
    return write_table(store, layout.run_table(run, "deduplicated"), photos)


def check_labels(store: ObjectStore, run: str, policy: Policy, *, cache: Path) -> str:
    """Task: the fate of photos whose label is doubted. ``cache`` is this machine's folder of features."""
    photos = judge_labels(store, read_table(store, layout.run_table(run, "deduplicated")), policy, cache)
    return write_table(store, layout.run_table(run, "labels"), photos)


def sample_photos(store: ObjectStore, run: str, *, images_per_source: int) -> str:
    """Task: the side of every photo and whether this run uses it."""
    photos = read_table(store, layout.run_table(run, "labels"))
    chosen = split_and_sample(photos, images_per_source=images_per_source, seed=_lake_seed(store))
    return write_table(store, layout.run_table(run, "split"), chosen)


def publish_dataset(
    store: ObjectStore, run: str, *, images_per_source: int, policy: Policy, cache: Path, run_url: str = ""
) -> str:
    """Task: write the manifest under its digest, a report, the fate of every photo, and the card. Returns the digest.

    Raises DatasetError when a side lacks cats or others: such a dataset can neither train nor judge.
    """
    photos = read_table(store, layout.run_table(run, "split"))
    manifest = to_manifest(photos)
    check_sides(manifest)
    digest = digest_of(manifest)
    write_table(store, layout.manifest(digest), manifest)
    report = {"digest": digest, "run": run, "images_per_source": images_per_source, "policy": policy.model_dump()}
    report |= {"policy_version": POLICY_VERSION, "backbone": VERSION} | summarize(photos)
    write_json(store, layout.dataset_report(digest), report)
    write_table(store, layout.dataset_page(digest, "statuses.parquet"), photos[STATUS_COLUMNS].sort_values("key"))
    store.write(layout.dataset_page(digest, "clusters.html"), render_clusters(store, photos, digest=digest).encode())
    card = render_card(store, photos, digest=digest, run=run, run_url=run_url, cache=cache)
    store.write(layout.dataset_page(digest, "card.html"), card.encode())
    _keep_validation(store, run, digest)
    log.info("dataset %s: %d photos; fates: %s", digest[:12], len(manifest), report["statuses"])
    return digest


def _keep_validation(store: ObjectStore, run: str, digest: str) -> None:
    """What the task `validate` found stays with the dataset version that it let through."""
    for kind, found in (("json", layout.run_json(run, "validation")), ("html", layout.run_html(run, "validation"))):
        if store.exists(found):
            store.write(layout.dataset_validation(digest, kind), store.read(found))


def rebuild(store: ObjectStore, digest: str, *, cache: Path) -> pd.DataFrame:
    """Work a manifest out again from the snapshot of its run and compare; raises DatasetError if they differ.

    ``cache`` is this machine's folder of features.
    """
    report = read_report(store, digest)
    if (report.get("policy_version"), report.get("backbone")) != (POLICY_VERSION, VERSION):
        raise DatasetError(f"dataset {digest} was made by rules that this code no longer has: run retrain once")
    policy = Policy(**report["policy"])
    photos = judge_labels(store, find_near_duplicates(store, gather(store, report["run"]), policy), policy, cache)
    photos = split_and_sample(photos, images_per_source=report["images_per_source"], seed=_lake_seed(store))
    manifest = to_manifest(photos)
    found = digest_of(manifest)
    if found != digest or digest_of(read_manifest(store, digest)) != digest:
        raise DatasetError(f"dataset {digest} does not rebuild: its snapshot {report['run']!r} now gives {found}")
    return manifest


def gather(store: ObjectStore, run: str) -> pd.DataFrame:
    """One row per photo of the snapshot: what the lake says of it, joined with its facts.

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
    photos["split"] = photos["bucket"].fillna(0).map(splits.split_of).astype("string")
    return photos.drop(columns=["broken", "bucket"])


def find_near_duplicates(store: ObjectStore, photos: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    pairs = find_duplicate_pairs(store, photos, policy.copies)
    photos = deduplication.exclude_unusable(photos.drop(columns=[*HASHES, "part"]), policy.quality)
    return deduplication.drop_near_duplicates(
        deduplication.find_clusters(photos, pairs, max_cluster=policy.copies.max_cluster)
    )


def judge_labels(store: ObjectStore, photos: pd.DataFrame, policy: Policy, cache: Path) -> pd.DataFrame:
    free = photos.loc[photos["status"].isna(), "key"]
    return label_issues.find_label_issues(photos, read_embeddings(store, free, cache), policy.labels)


def split_and_sample(photos: pd.DataFrame, *, images_per_source: int, seed: int) -> pd.DataFrame:
    return splits.sample(splits.hold_for_review(photos), images_per_source=images_per_source, seed=seed)


def summarize(photos: pd.DataFrame) -> dict:
    """Counts per source and side, and fates: counted per source, and one by one for uploads and what was left out."""
    used = photos[photos["status"] == splits.USED]
    told = photos[(photos["source"] == UPLOADS) | ~photos["status"].isin([splits.USED, splits.NOT_SAMPLED])]
    return {
        "images": _counts(used, "split"),
        "labels": _counts(used, "label"),
        "statuses": _counts(photos, "status"),
        "photos": [_fate(photo) for photo in told.sort_values("key").to_dict("records")],
    }


def _fate(photo: dict) -> dict:
    return {
        name: None if pd.isna(photo[name]) else photo[name] for name in ("key", "split", "label", "status", "reason")
    }


def _counts(photos: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    counted = photos.groupby("source")[column].value_counts(sort=False)
    return {
        str(source): {str(value): int(n) for value, n in rows.droplevel(0).items()}
        for source, rows in counted.groupby(level=0)
    }


def _lake_seed(store: ObjectStore) -> int:
    return int(read_json(store, layout.LAKE)["seed"])
