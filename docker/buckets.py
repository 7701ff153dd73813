"""The buckets of the lake and of MLflow: `python docker/buckets.py make`, or `save` to or `restore` from /backup.

They keep what is overwritten or deleted for 30 days. SeaweedFS wants that switched on before the first object:
https://github.com/seaweedfs/seaweedfs/issues/10681
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from include.configuration import read_settings
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.lake.s3 import S3Store, connect
from include.setting_types import parse_lake_url

BACKUP = Path("/backup")


def main() -> None:
    action = {"make": make, "save": save, "restore": restore}[sys.argv[1]]
    for bucket in buckets():
        action(bucket)


def buckets() -> Iterator[S3Store]:
    settings = read_settings()
    client = connect(settings.s3_endpoint_url)
    for url in (settings.lake, os.environ["MLFLOW_ARTIFACTS"]):
        place = parse_lake_url(url)
        yield S3Store(client, place.bucket, place.prefix)


def make(bucket: S3Store) -> None:
    bucket.ensure_bucket(keep_days=30)


def save(bucket: S3Store) -> None:
    copy(bucket, LocalStore(BACKUP / bucket.bucket))


def restore(bucket: S3Store) -> None:
    copy(LocalStore(BACKUP / bucket.bucket), bucket)


def copy(source: ObjectStore, target: ObjectStore) -> None:
    """One object at a time: for a lake of many gigabytes use the tools of your own store."""
    keys = list(source.keys(""))
    for key in keys:
        target.write(key, source.read(key))
    sys.stdout.write(f"{source.name} -> {target.name}: {len(keys):,} objects\n")


if __name__ == "__main__":
    main()
