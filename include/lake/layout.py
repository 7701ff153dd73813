"""Every key of the lake. No other module builds one from text."""

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

from include.errors import InvalidKey

BASE = "base/"
UPLOADS = "uploads/"
FEEDBACK = "feedback/"
REVIEWS = "reviews/"
TOMBSTONES = "tombstones/"
COUNTS = "counts/"  # of answers, without their photos
INGESTS = "ingests/"
RUNS = "runs/"
TRIALS = "trials/"  # of the store itself: created and deleted again
MAX_NAME = 200  # characters of a run in a key: file systems allow 255
FACTS_VERSION = 5  # increase when facts change their meaning; older facts are then ignored

LAKE = "lake.json"  # base set, question and seed, write-once
SECRET = "secret"  # HMAC key of all fingerprints and photo ids, write-once
LATEST_RUN = f"{RUNS}latest.json"  # the last run that the gate decided
BASE_FACTS = f"facts/v{FACTS_VERSION}/base/"

_NAME = r"[\w~-]+"
_BASE_PHOTO = rf"{BASE}{_NAME}/[0-9a-f]{{64}}"
_OWN = (  # the forms of keys that are listed; whatever else lies among them belongs to others
    _BASE_PHOTO,
    rf"{UPLOADS}{_NAME}/(photo\.jpg|record\.json|facts-v[0-9]+\.json|embeddings-[0-9a-f]+)",
    rf"({FEEDBACK}|{REVIEWS}){_NAME}\.json",
    rf"{TOMBSTONES}({_BASE_PHOTO}|{UPLOADS}{_NAME}/photo\.jpg)\.json",
    rf"{INGESTS}.+\.json",
    rf"{TRIALS}{_NAME}",
    r"facts/v[0-9]+/(base|thumbnails)/[0-9a-f]{64}\.parquet",
    r"facts/v[0-9]+/embeddings/[0-9a-f]+/[0-9a-f]{64}",
    rf"runs/[^/]+/progress/{_NAME}\.json",
)
_IS_OWN = re.compile("|".join(_OWN))


class BaseKey(NamedTuple):
    source: str
    sha256: str


def base(source: str, sha256: str) -> str:
    return f"{BASE}{source}/{sha256}"


def is_base(key: str) -> bool:
    """Whether ``key`` is that of a base photo, and not something that another program left among them."""
    return re.fullmatch(_BASE_PHOTO, key) is not None


def is_own(key: str) -> bool:
    """Whether ``key`` has one of the forms that this module gives to what is listed."""
    return _IS_OWN.fullmatch(key) is not None


def parse_base(key: str) -> BaseKey:
    return BaseKey(*key.removeprefix(BASE).split("/"))


def upload_photo(photo_id: str) -> str:
    return f"{UPLOADS}{photo_id}/photo.jpg"


def upload_record(photo_id: str) -> str:
    return f"{UPLOADS}{photo_id}/record.json"


def upload_folder(photo_id: str) -> str:
    """The prefix of all that shows or derives from an upload."""
    return f"{UPLOADS}{photo_id}/"


def answer_count(count_id: str) -> str:
    """One answer without its photo; ``count_id`` is random."""
    return f"{COUNTS}{count_id}.json"


def photo_id_of(key: str) -> str:
    """The photo id in a key of uploads, feedback or reviews; in a review of a base photo, its sha256.

    Raises ValueError for other keys.
    """
    for prefix in (UPLOADS, FEEDBACK, REVIEWS):
        if key.startswith(prefix):
            return key.removeprefix(prefix).split("/")[0].removesuffix(".json")
    raise ValueError(f"key {key!r} is not one of uploads, feedback or reviews")


def feedback(photo_id: str) -> str:
    return f"{FEEDBACK}{photo_id}.json"


def review(photo_id: str) -> str:
    return f"{REVIEWS}{photo_id}.json"


def tombstone(key: str) -> str:
    """The record about the photo that was taken away from ``key``."""
    return f"{TOMBSTONES}{key}.json"


def tombstones(prefix: str) -> str:
    """The prefix of all tombstones of photos whose keys begin with ``prefix``."""
    return f"{TOMBSTONES}{prefix}"


def key_of_tombstone(tombstone: str) -> str:
    """The key that the photo had."""
    return tombstone.removeprefix(TOMBSTONES).removesuffix(".json")


def trial(name: str) -> str:
    """An object by which a store is tried."""
    return f"{TRIALS}{name}"


def members_of(keys: Iterable[str]) -> str:
    """The sha256 of the keys in a part, in their order: the same photos make the same part."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def base_facts(members: str) -> str:
    """A part of the base photos' facts; ``members`` as ``members_of`` names them."""
    return f"{BASE_FACTS}{members}.parquet"


def thumbnails(facts: str) -> str:
    """The greyscale thumbnails of the base photos whose facts have the key ``facts``."""
    return facts.replace("/base/", "/thumbnails/")


def upload_facts(photo_id: str) -> str:
    """Facts of an upload contain a thumbnail, so they are in its own folder and are deleted with it."""
    return f"{UPLOADS}{photo_id}/facts-v{FACTS_VERSION}.json"


def tuned(settings: str) -> str:
    """The result of the last hyperparameter search; ``settings`` is the hash of the settings that were not tuned."""
    return f"tuned/{settings}.json"


def base_embeddings(version: str, members: str = "") -> str:
    """A part of the base photos' embeddings by the backbone ``version``; without ``members`` the prefix of all."""
    return f"facts/v{FACTS_VERSION}/embeddings/{version}/{members}"


def upload_embeddings(photo_id: str, version: str) -> str:
    """In the upload's own folder, so that they are deleted with it."""
    return f"{UPLOADS}{photo_id}/embeddings-{version}"


def quarantine(key: str) -> str:
    """The reason why the photo under ``key`` cannot be used."""
    return f"quarantine/{key}.json"


def shard(run: str, number: int) -> str:
    return _of_run(run, f"shards/{number:05}.json")


def progress(run: str, task: str = "") -> str:
    """The progress of a long task of a run; without ``task`` the prefix of all."""
    return _of_run(run, f"progress/{task}" + (".json" if task else ""))


def shard_progress(shard: str) -> str:
    """The progress of `describe` on the shard under the key ``shard``."""
    return shard.replace("/shards/", "/progress/describe-")


def predictions(day: str, run: str) -> str:
    """The answers of one run; ``day`` is a date in ISO 8601."""
    return f"predictions/dt={day}/{run_name(run)}.jsonl"


def run_name(run: str) -> str:
    """An Airflow run id as a part of a key: other characters than letters, digits and ``_.-~`` become ``=`` and two hex
    digits, so that two ids never share a name. Raises InvalidKey.
    """
    name = quote(run, safe="").replace("%", "=")
    if name in ("", ".", "..") or len(name) > MAX_NAME:
        raise InvalidKey(f"the run id {run!r} cannot name a run: give it 1 to {MAX_NAME} letters, digits or hyphens")
    return name


def ingested(run: str, source: str) -> str:
    """The photos of one source that a run of ingest_base_datasets saw in the folder, and which of them were new."""
    return f"{INGESTS}{run_name(run)}/{source}.json"


def last_ingest(source: str) -> str:
    """The last run of ingest_base_datasets that began to read this source."""
    return f"{INGESTS}{source}.json"


def near_duplicates(rules: str) -> str:
    """The photos that were compared by ``rules`` (distance and similarity), and which are near-duplicates."""
    return f"facts/v{FACTS_VERSION}/near-duplicates-{rules}.parquet"


def dataset_file(digest: str, name: str) -> str:
    """A file of a dataset version; the functions below name them all."""
    return f"datasets/{digest}/{name}"


def manifest(digest: str) -> str:
    return dataset_file(digest, "manifest.parquet")


def dataset_report(digest: str) -> str:
    """Written last: a version with a report is complete."""
    return dataset_file(digest, "report.json")


def dataset_card(digest: str) -> str:
    """The page that describes a dataset version."""
    return dataset_file(digest, "card.html")


def dataset_clusters(digest: str) -> str:
    """The page that shows its clusters of near-duplicates."""
    return dataset_file(digest, "clusters.html")


def dataset_statuses(digest: str) -> str:
    """The status of every photo of the snapshot."""
    return dataset_file(digest, "statuses.parquet")


def dataset_validation(digest: str) -> str:
    """The results of the data checks that the dataset passed."""
    return dataset_file(digest, "validation.json")


def dataset_validation_page(digest: str) -> str:
    return dataset_file(digest, "validation.html")


def of_run(run: str) -> str:
    """The prefix of all that a run of ``retrain`` keeps."""
    return _of_run(run, "")


def run_base(run: str) -> str:
    """The base photos as they were when the run began."""
    return _of_run(run, "base.parquet")


def run_uploads(run: str) -> str:
    """The uploads as they were when the run began."""
    return _of_run(run, "uploads.parquet")


def run_inputs(run: str) -> str:
    """All that the run depended on when it began, and its digest."""
    return _of_run(run, "inputs.json")


def run_deduplicated(run: str, rules: str) -> str:
    """``rules`` is the digest of all settings that the table follows from: other ones give another table."""
    return _of_run(run, f"deduplicated-{rules}.parquet")


def run_labels(run: str, rules: str) -> str:
    return _of_run(run, f"labels-{rules}.parquet")


def run_sample(run: str, rules: str) -> str:
    return _of_run(run, f"sample-{rules}.parquet")


def run_dataset(run: str) -> str:
    """The report of the dataset version that the run published, about the photos of its own snapshot."""
    return _of_run(run, "dataset.json")


def run_page(run: str, name: str) -> str:
    """The card, the clusters or the statuses of the photos of the run's snapshot, named as those of a dataset."""
    return _of_run(run, name)


def run_validation(run: str) -> str:
    return _of_run(run, "validation.json")


def run_validation_page(run: str) -> str:
    return _of_run(run, "validation.html")


def run_hyperparameters(run: str) -> str:
    return _of_run(run, "hyperparameters.json")


def run_evaluation(run: str) -> str:
    return _of_run(run, "evaluation.json")


def run_scores(run: str) -> str:
    """The score of every photo of val and test."""
    return _of_run(run, "scores.parquet")


def run_version(run: str) -> str:
    """The model version that the run registered."""
    return _of_run(run, "version.json")


def run_model_checks(run: str) -> str:
    return _of_run(run, "model_checks.json")


def decision(run: str, made_from: str) -> str:
    """What the gate decided from these inputs and by this code (their digest); write-once."""
    return _of_run(run, f"decisions/{made_from[:16]}.json")


def decision_page(run: str, made_from: str) -> str:
    """The page about it, for people."""
    return _of_run(run, f"decisions/{made_from[:16]}.html")


def answer(run: str) -> str:
    """What a person answered in a close call."""
    return _of_run(run, "answer.json")


def run_decision(run: str) -> str:
    """What the gate decided last about the run: a copy of one of ``decision``."""
    return _of_run(run, "decision.json")


def run_report(run: str) -> str:
    return _of_run(run, "report.json")


def is_run_report(key: str) -> bool:
    return key.startswith(RUNS) and key.endswith("/report.json")


def _of_run(run: str, name: str) -> str:
    return f"{RUNS}{run_name(run)}/{name}"
