"""Every key of the lake. Nobody else spells one."""

import re
from typing import NamedTuple

BASE = "base/"
UPLOADS = "uploads/"
FEEDBACK = "feedback/"
REVIEWS = "reviews/"
TOMBSTONES = "tombstones/"
FACTS_VERSION = 2  # raise it when facts mean something else; the old ones are then ignored

LAKE = "lake.json"  # base set and seed, write-once
SECRET = "secret"  # key of the uploads' fingerprints, write-once
LATEST_RUN = "runs/latest.json"  # the last run that came to its end
BASE_FACTS = f"facts/v{FACTS_VERSION}/base/"


class BaseKey(NamedTuple):
    source: str
    sha256: str


def base(source: str, sha256: str) -> str:
    return f"{BASE}{source}/{sha256}"


def parse_base(key: str) -> BaseKey:
    return BaseKey(*key.removeprefix(BASE).split("/"))


def upload_photo(photo_id: str) -> str:
    return f"{UPLOADS}{photo_id}/photo.jpg"


def upload_record(photo_id: str) -> str:
    return f"{UPLOADS}{photo_id}/record.json"


def photo_id_of(key: str) -> str:
    """The photo that a key of uploads, feedback, reviews or tombstones speaks of."""
    for prefix in (UPLOADS, FEEDBACK, REVIEWS, TOMBSTONES):
        if key.startswith(prefix):
            return key.removeprefix(prefix).split("/")[0].removesuffix(".json")
    raise ValueError(f"key {key!r} is not about an upload")


def feedback(photo_id: str) -> str:
    return f"{FEEDBACK}{photo_id}.json"


def review(photo_id: str) -> str:
    return f"{REVIEWS}{photo_id}.json"


def tombstone(photo_id: str) -> str:
    return f"{TOMBSTONES}{photo_id}.json"


def base_facts(members: str) -> str:
    """One part of the base photos' facts; ``members`` is the hash of the keys in it."""
    return f"{BASE_FACTS}{members}.parquet"


def thumbnails(facts: str) -> str:
    """The small grey pictures of the base photos whose facts are the part ``facts``."""
    return facts.replace("/base/", "/thumbnails/")


def upload_facts(photo_id: str) -> str:
    """Facts of an upload hold a small picture of it: inside its own folder, so that forgetting it forgets them."""
    return f"{UPLOADS}{photo_id}/facts-v{FACTS_VERSION}.json"


def copies(rules: str) -> str:
    """Which photos were compared with each other by ``rules``, and which of them show the same picture."""
    return f"facts/v{FACTS_VERSION}/copies-{rules}.parquet"


def tuned(settings: str) -> str:
    """What the last search for hyperparameters chose; ``settings`` is the hash of those that it was made with."""
    return f"tuned/{settings}.json"


def base_embeddings(version: str, members: str = "") -> str:
    """One part of the base photos' features by the backbone ``version``; without ``members`` the prefix of all."""
    return f"facts/v{FACTS_VERSION}/features/{version}/{members}"


def upload_embeddings(photo_id: str, version: str) -> str:
    """Inside the upload's own folder, so that forgetting the upload forgets them."""
    return f"{UPLOADS}{photo_id}/features-{version}"


def quarantine(key: str) -> str:
    """Why the photo under ``key`` cannot be used."""
    return f"quarantine/{key}.json"


def manifest(digest: str) -> str:
    return f"datasets/{digest}/manifest.parquet"


def dataset_page(digest: str, name: str) -> str:
    """A page for people, or a table for tools, beside the manifest."""
    return f"datasets/{digest}/{name}"


def dataset_report(digest: str) -> str:
    return f"datasets/{digest}/report.json"


def dataset_validation(digest: str, kind: str) -> str:
    """What was found about the photos before they were published; ``kind`` is json or html."""
    return f"datasets/{digest}/validation.{kind}"


def run_table(run: str, step: str) -> str:
    return f"runs/{run_name(run)}/{step}.parquet"


def run_json(run: str, step: str) -> str:
    return f"runs/{run_name(run)}/{step}.json"


def run_html(run: str, step: str) -> str:
    return f"runs/{run_name(run)}/{step}.html"


def shard(run: str, number: int) -> str:
    return f"runs/{run_name(run)}/shards/{number:05}.json"


def progress(run: str, task: str = "") -> str:
    """How far a long task of a run is; without ``task`` the prefix of all."""
    return f"runs/{run_name(run)}/progress/{task}" + (".json" if task else "")


def shard_progress(shard: str) -> str:
    return shard.replace("/shards/", "/progress/describe-")


def predictions(day: str, run: str) -> str:
    return f"predictions/dt={day}/{run_name(run)}.jsonl"


def run_name(run: str) -> str:
    """An Airflow run id as one safe name."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", run)
