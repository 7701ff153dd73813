"""A bucket as an object store; the only module that imports boto3."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from include.errors import ObjectNotFound, PreconditionFailed, UnsafeStore
from include.lake.base import check_key

MISSING = {"NoSuchKey", "404", "NotFound"}
TAKEN = {"PreconditionFailed", "412"}
RACING = {"ConditionalRequestConflict", "409"}  # S3 asks one of two concurrent creates to try again
UNKNOWN = {"NotImplemented", "501"}  # what a server answers that does not know If-None-Match
CREATE_TRIES = 5
PAUSE = 0.1  # seconds after the first of them, and so many more after each further one


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

    @property
    def name(self) -> str:
        server = urlsplit(self.client.meta.endpoint_url)
        return f"the bucket {self.bucket} at {server.scheme}://{server.netloc.rpartition('@')[2]}"

    def read(self, key: str) -> bytes:
        """Raises botocore's IncompleteReadError or ResponseStreamingError where the connection ends too early."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=check_key(key))
        except ClientError as error:
            if _code(error) in MISSING:
                raise ObjectNotFound(f"no object {key!r} in bucket {self.bucket}") from None
            raise
        if not _says_where_it_ends(answer):
            raise self._unsafe("it sends objects without Content-Length, so that a cut one looks whole")
        body: bytes = answer["Body"].read()
        return body

    def write(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=check_key(key), Body=body)

    def create(self, key: str, body: bytes) -> None:
        """Raises UnsafeStore where the server says that it knows no such request."""
        check_key(key)
        for number in range(1, CREATE_TRIES + 1):
            try:
                self.client.put_object(Bucket=self.bucket, Key=key, Body=body, IfNoneMatch="*")
                return
            except ClientError as error:
                if _code(error) in TAKEN and self._wrote_it_before(error, key, body):
                    return
                if _code(error) in TAKEN:
                    raise PreconditionFailed(f"object {key!r} exists already in bucket {self.bucket}") from None
                if _code(error) in UNKNOWN:
                    raise self._unsafe("it knows no conditional writes (If-None-Match)") from None
                if _code(error) not in RACING or number == CREATE_TRIES:
                    raise
            time.sleep(PAUSE * number)

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

    def _wrote_it_before(self, error: ClientError, key: str, body: bytes) -> bool:
        """boto3 repeats a request whose answer was lost: the object that it meets then may be its own."""
        if not error.response["ResponseMetadata"].get("RetryAttempts"):
            return False
        with suppress(ObjectNotFound):
            return self.read(key) == body
        return False

    def _unsafe(self, fault: str) -> UnsafeStore:
        return UnsafeStore(
            f"{self.name} cannot be a lake: {fault}. Set CAT_LAKE_URL to Amazon S3, to a folder on a local disk, "
            "or to a server that passes make test-lake"
        )

    def ensure_bucket(self, *, keep_days: int | None = None) -> None:
        """Create the bucket if it is missing: for S3 servers of our own and for tests. It keeps what is overwritten or
        deleted for ``keep_days``; a bucket that exists already stays as it is.
        """
        if self.bucket in {bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]}:
            return
        self.client.create_bucket(Bucket=self.bucket)
        if keep_days is not None:
            forget = {"ID": "forget", "Filter": {"Prefix": ""}, "Status": "Enabled"}
            rules = [forget | {"NoncurrentVersionExpiration": {"NoncurrentDays": keep_days}}]
            self.client.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
            self.client.put_bucket_lifecycle_configuration(Bucket=self.bucket, LifecycleConfiguration={"Rules": rules})


def _says_where_it_ends(answer: dict[str, Any]) -> bool:
    """A body of known length or in chunks; one that lasts until the connection ends cannot be told from a cut one."""
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return "content-length" in headers or headers.get("transfer-encoding", "").lower() == "chunked"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
