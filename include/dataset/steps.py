"""The tasks that decide which photos of a snapshot are used; and the proof that a digest can be computed again."""

import logging
from pathlib import Path

import pandas as pd

from include.backbone import VERSION
from include.dataset import deduplication, label_issues, splits
from include.dataset.crowd_report import list_crowds, log_crowds
from include.dataset.duplicate_pairs import update_pairs
from include.dataset.embeddings import read_embeddings
from include.dataset.facts import HASHES, read_facts
from include.dataset.manifest import digest_of, read_manifest, read_report, to_manifest
from include.errors import DatasetError, ObjectNotFound
from include.ingestion.base_sets import read_lake
from include.ingestion.snapshot import POLICY_VERSION, read_snapshot
from include.ingestion.uploads import fingerprint, lake_secret
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import json_sha256, read_table, write_table
from include.lake.listing import own_keys
from include.question import Question
from include.settings import Policy, Settings
from include.status import Status

log = logging.getLogger(__name__)


def deduplicate(store: ObjectStore, run: str, policy: Policy) -> str:
    """Task: every photo of the snapshot with its facts, and the status of near-duplicates and conflicting labels."""
    photos = mark_near_duplicates(store, gather(store, run), policy)
    log_crowds(list_crowds(photos))
    return write_table(store, layout.run_deduplicated(run, rules_of(policy)), photos)


def check_labels(store: ObjectStore, run: str, settings: Settings) -> str:
    """Task: the status of photos whose label is probably wrong."""
    rules = rules_of(settings.policy)
    photos = _made_before(store, layout.run_deduplicated(run, rules), "deduplicate")
    photos = check_all_labels(store, photos, settings.policy, settings.question, settings.embedding_cache)
    log.info(
        "%d labels checked, %d of base photos are probably wrong; statuses: %s",
        photos["label_quality"].notna().sum(),
        photos["label_issue"].sum(),
        count_statuses(photos),
    )
    return write_table(store, layout.run_labels(run, rules), photos)


def sample(store: ObjectStore, run: str, settings: Settings, *, images_per_source: int) -> str:
    """Task: which photos this run uses, and which wait for a review."""
    photos = _made_before(store, layout.run_labels(run, rules_of(settings.policy)), "check_labels")
    seed = _lake_seed(store, settings.question)
    sampled = sample_photos(photos, images_per_source=images_per_source, seed=seed)
    used = sampled.loc[sampled["status"] == Status.USED, "split"].value_counts().to_dict()
    log.info("the sample has %s photos (%s); statuses: %s", sum(used.values()), used, count_statuses(sampled))
    return write_table(store, layout.run_sample(run, rules_of(settings.policy, images_per_source)), sampled)


def read_sample(store: ObjectStore, run: str, settings: Settings, *, images_per_source: int) -> pd.DataFrame:
    """What `sample` left. Raises DatasetError where it ran with other settings."""
    return _made_before(store, layout.run_sample(run, rules_of(settings.policy, images_per_source)), "sample")


def count_statuses(photos: pd.DataFrame) -> str:
    """Such as "used 640, near-duplicate 12"; photos without a status are free."""
    counts = photos["status"].fillna("free").value_counts()
    return ", ".join(f"{status} {count}" for status, count in counts.items())


def rules_of(policy: Policy, images_per_source: int | None = None) -> str:
    """The digest of the rules that a table of a run follows from; its key contains it, so none is taken for another."""
    return json_sha256([policy.model_dump(), POLICY_VERSION, VERSION, images_per_source])[:12]


def _made_before(store: ObjectStore, key: str, task: str) -> pd.DataFrame:
    try:
        return read_table(store, key)
    except ObjectNotFound:
        problem = f"there is no {key}: the settings, or the code, have changed since the task {task} of this run"
        raise DatasetError(f"{problem}; clear the task {task} and all that follow it") from None


def rebuild(store: ObjectStore, digest: str, question: Question, *, cache: Path) -> pd.DataFrame:
    """Compute a manifest again from the snapshot of its run; raises DatasetError if the digests differ, or if facts of
    its photos are gone. ``cache`` is this machine's folder of embeddings.
    """
    report = read_report(store, digest)
    if (report.get("policy_version"), report.get("backbone")) != (POLICY_VERSION, VERSION):
        raise DatasetError(f"dataset {digest} was made by rules that this code no longer has: run retrain once")
    policy = Policy(**report["policy"])
    _check_facts(store, report["run"], digest)
    photos = mark_near_duplicates(store, gather(store, report["run"]), policy)
    photos = check_all_labels(store, photos, policy, question, cache)
    seed = _lake_seed(store, question)
    manifest = to_manifest(sample_photos(photos, images_per_source=report["images_per_source"], seed=seed), question)
    rebuilt = digest_of(manifest)
    if rebuilt != digest or digest_of(read_manifest(store, digest)) != digest:
        raise DatasetError(f"dataset {digest} does not rebuild: its snapshot {report['run']!r} now gives {rebuilt}")
    return manifest


def photos_gone(store: ObjectStore, manifest: pd.DataFrame) -> list[str]:
    """The keys of photos of a dataset version that are not in the lake any more, in order."""
    there = {*own_keys(store, layout.BASE), *own_keys(store, layout.UPLOADS)}
    return [key for key in manifest["key"] if key not in there]


def _check_facts(store: ObjectStore, run: str, digest: str) -> None:
    """The facts of base photos outlive them; those of an upload go with it. Raises DatasetError."""
    _, uploads = read_snapshot(store, run)
    there = set(store.keys(layout.UPLOADS))
    gone = [photo_id for photo_id in uploads["photo_id"] if layout.upload_facts(photo_id) not in there]
    if gone:
        problem = f"{len(gone)} uploads of its snapshot are gone, for example {gone[0]}"
        raise DatasetError(f"dataset {digest} cannot be rebuilt: {problem}. Run retrain for the photos of now")


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
    return deduplication.drop_near_duplicates(photos, pairs, max_cluster=policy.near_duplicates.max_cluster)


def check_all_labels(
    store: ObjectStore, photos: pd.DataFrame, policy: Policy, question: Question, cache: Path
) -> pd.DataFrame:
    """The status of photos with a label issue, by the embeddings of all photos without a status."""
    free = photos.loc[photos["status"].isna(), "key"]
    embeddings = read_embeddings(store, free, cache)
    return label_issues.find_label_issues(photos, embeddings, policy.labels, question)


def sample_photos(photos: pd.DataFrame, *, images_per_source: int, seed: int) -> pd.DataFrame:
    return splits.sample(splits.hold_for_review(photos), images_per_source=images_per_source, seed=seed)


def _lake_seed(store: ObjectStore, question: Question) -> int:
    return int(read_lake(store, question)["seed"])
