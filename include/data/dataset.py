"""Snapshot -> manifest with a digest; and the proof that the digest can be worked out again."""

import hashlib
import json
import logging
from pathlib import Path

import pandas as pd

from include.backbone import VERSION
from include.data import dedupe, labels, split
from include.data.card import draw_card, draw_clusters
from include.data.copies import compare
from include.data.facts import HASHES, read_facts
from include.data.features import read_features
from include.data.snapshot import POLICY_VERSION, read_snapshot
from include.data.uploads import fingerprint, lake_secret
from include.errors import DatasetError, ObjectNotFound
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import parse_table, read_json, read_table, write_json, write_table
from include.records import SIDES, UNKNOWN_KIND, UPLOADS, label_of
from include.settings import Policy

log = logging.getLogger(__name__)

MANIFEST = ["sha256", "key", "source", "label", "kind", "label_origin", "weight", "cluster", "side"]
ABOUT = ["key", "source", "side", "label", "label_origin"]
FATES = [*ABOUT, "fate", "why", "cluster", "crowd", "suspect", "label_quality"]


def deduplicate(store: ObjectStore, run: str, policy: Policy) -> str:
    """Task: every photo of the snapshot with its facts, and the fate of copies and conflicts."""
    photos = find_copies(store, gather(store, run), policy)
    return write_table(store, layout.run_table(run, "deduplicated"), photos)


def check_labels(store: ObjectStore, run: str, policy: Policy, *, cache: Path) -> str:
    """Task: the fate of photos whose label is doubted. ``cache`` is this machine's folder of features."""
    photos = doubt_labels(store, read_table(store, layout.run_table(run, "deduplicated")), policy, cache)
    return write_table(store, layout.run_table(run, "labels"), photos)


def choose(store: ObjectStore, run: str, *, images_per_source: int) -> str:
    """Task: the side of every photo and whether this run uses it."""
    photos = read_table(store, layout.run_table(run, "labels"))
    chosen = choose_photos(photos, images_per_source=images_per_source, seed=_lake_seed(store))
    return write_table(store, layout.run_table(run, "split"), chosen)


def publish(
    store: ObjectStore, run: str, *, images_per_source: int, policy: Policy, cache: Path, run_url: str = ""
) -> str:
    """Task: write the manifest under its digest, a report, the fate of every photo, and the card. Returns the digest.

    Raises DatasetError when a side lacks cats or others: such a dataset can neither train nor judge.
    """
    photos = read_table(store, layout.run_table(run, "split"))
    manifest = to_manifest(photos)
    _check_sides(manifest)
    digest = digest_of(manifest)
    write_table(store, layout.manifest(digest), manifest)
    report = {"digest": digest, "run": run, "images_per_source": images_per_source, "policy": policy.model_dump()}
    report |= {"policy_version": POLICY_VERSION, "backbone": VERSION} | summarize(photos)
    write_json(store, layout.dataset_report(digest), report)
    write_table(store, layout.dataset_page(digest, "fates.parquet"), photos[FATES].sort_values("key"))
    store.write(layout.dataset_page(digest, "clusters.html"), draw_clusters(store, photos, digest=digest).encode())
    card = draw_card(store, photos, digest=digest, run=run, run_url=run_url, cache=cache)
    store.write(layout.dataset_page(digest, "card.html"), card.encode())
    _keep_validation(store, run, digest)
    log.info("dataset %s: %d photos; fates: %s", digest[:12], len(manifest), report["fates"])
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
    photos = doubt_labels(store, find_copies(store, gather(store, report["run"]), policy), policy, cache)
    photos = choose_photos(photos, images_per_source=report["images_per_source"], seed=_lake_seed(store))
    manifest = to_manifest(photos)
    found = digest_of(manifest)
    if found != digest or digest_of(read_manifest(store, digest)) != digest:
        raise DatasetError(f"dataset {digest} does not rebuild: its snapshot {report['run']!r} now gives {found}")
    return manifest


def read_manifest(store: ObjectStore, digest: str) -> pd.DataFrame:
    """Raises DatasetError for a version that this lake does not hold."""
    return parse_table(_read(store, digest, layout.manifest(digest)))


def read_report(store: ObjectStore, digest: str) -> dict:
    """Raises DatasetError for a version that this lake does not hold."""
    return dict(json.loads(_read(store, digest, layout.dataset_report(digest))))


def _read(store: ObjectStore, digest: str, key: str) -> bytes:
    try:
        return store.read(key)
    except ObjectNotFound:
        raise DatasetError(f"there is no dataset {digest!r} in this lake; `datasets/` lists them") from None


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
    photos["side"] = photos["bucket"].fillna(0).map(split.side_of).astype("string")
    return photos.drop(columns=["broken", "bucket"])


def find_copies(store: ObjectStore, photos: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    pairs = compare(store, photos, policy.copies)
    photos = dedupe.set_aside(photos.drop(columns=[*HASHES, "part"]), policy.quality)
    return dedupe.drop_copies(dedupe.find_clusters(photos, pairs, max_cluster=policy.copies.max_cluster))


def doubt_labels(store: ObjectStore, photos: pd.DataFrame, policy: Policy, cache: Path) -> pd.DataFrame:
    free = photos.loc[photos["fate"].isna(), "key"]
    return labels.check_labels(photos, read_features(store, free, cache), policy.labels)


def choose_photos(photos: pd.DataFrame, *, images_per_source: int, seed: int) -> pd.DataFrame:
    return split.sample(split.hold_for_review(photos), images_per_source=images_per_source, seed=seed)


def to_manifest(photos: pd.DataFrame) -> pd.DataFrame:
    """The used photos, ordered by key, with exactly the columns of the contract."""
    used = photos[photos["fate"] == split.USED].sort_values("key", ignore_index=True)
    known = used["label"] == used["source"].map(label_of)  # else a person said that the source is wrong
    kind = used["source"].where(known & (used["source"] != UPLOADS), UNKNOWN_KIND)
    table = used.assign(kind=kind, weight=1.0)[MANIFEST]
    return table.astype({name: "string" for name in MANIFEST if name != "weight"})


def digest_of(manifest: pd.DataFrame) -> str:
    """sha256 over the canonical rows: one JSON line each, ordered by key."""
    digest = hashlib.sha256()
    for row in manifest.sort_values("key").to_dict("records"):
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def summarize(photos: pd.DataFrame) -> dict:
    """Counts per source and side, and fates: counted per source, and one by one for uploads and what was left out."""
    used = photos[photos["fate"] == split.USED]
    told = photos[(photos["source"] == UPLOADS) | ~photos["fate"].isin([split.USED, split.NOT_SAMPLED])]
    return {
        "images": _counts(used, "side"),
        "labels": _counts(used, "label"),
        "fates": _counts(photos, "fate"),
        "photos": [_fate(photo) for photo in told.sort_values("key").to_dict("records")],
    }


def _fate(photo: dict) -> dict:
    return {name: None if pd.isna(photo[name]) else photo[name] for name in ("key", "side", "label", "fate", "why")}


def _counts(photos: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    counted = photos.groupby("source")[column].value_counts(sort=False)
    return {
        str(source): {str(value): int(n) for value, n in rows.droplevel(0).items()}
        for source, rows in counted.groupby(level=0)
    }


def _check_sides(manifest: pd.DataFrame) -> None:
    for side in SIDES:
        labels = manifest.loc[manifest["side"] == side, "label"]
        if labels.nunique() < 2:
            cure = "raise images_per_source, or ingest more base photos"
            raise DatasetError(f"{side} has {len(labels)} photos and not both labels: {cure}")


def _lake_seed(store: ObjectStore) -> int:
    return int(read_json(store, layout.LAKE)["seed"])
