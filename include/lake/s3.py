"""A bucket as an object store; the only module that imports boto3."""

from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from include.errors import ObjectNotFound, PreconditionFailed
from include.lake.base import check_key

MISSING = {"NoSuchKey", "404", "NotFound"}
TAKEN = {"PreconditionFailed", "412"}
RACING = {"ConditionalRequestConflict", "409"}  # S3 asks one of two concurrent creates to try again
CREATE_TRIES = 5


def connect(endpoint_url: str | None) -> Any:
    """A client with boto3's default credential chain; ``endpoint_url`` is that of an S3-compatible server."""
    style = {"addressing_style": "path"} if endpoint_url else {}
    retries = {"mode": "standard", "max_attempts": 5}
    config = Config(retries=retries, connect_timeout=10, read_timeout=60, max_pool_connections=32, s3=style)
    return boto3.client("s3", endpoint_url=endpoint_url, config=config)


class S3Store:
    """S3 puts are atomic; this class only translates errors. The client is injected, and threads may share it."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client = client
        self.bucket = bucket

    def read(self, key: str) -> bytes:
        try:
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=check_key(key))["Body"].read()
            return body
        except ClientError as error:
            if _code(error) in MISSING:
                raise ObjectNotFound(f"no object {key!r} in bucket {self.bucket}") from None
            raise

    def write(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=check_key(key), Body=body)

    def create(self, key: str, body: bytes) -> None:
        check_key(key)
        for tries_left in reversed(range(CREATE_TRIES)):
            try:
                self.client.put_object(Bucket=self.bucket, Key=key, Body=body, IfNoneMatch="*")
                return
            except ClientError as error:
                if _code(error) in TAKEN:
                    raise PreconditionFailed(f"object {key!r} exists already in bucket {self.bucket}") from None
                if _code(error) not in RACING or not tries_left:
                    raise

    def keys(self, prefix: str) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
            yield from (item["Key"] for item in page.get("Contents", []))

    def exists(self, key: str) -> bool:
        try:
            self.client.head_object(Bucket=self.bucket, Key=check_key(key))
        except ClientError as error:
            if _code(error) in MISSING:
                return False
            raise
        return True

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=check_key(key))

    def ensure_bucket(self) -> None:
        """Create the bucket if it is missing: for the S3 server of the local stack and for tests."""
        if self.bucket not in {bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]}:
            self.client.create_bucket(Bucket=self.bucket)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
