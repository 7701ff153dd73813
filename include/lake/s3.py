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


PATIENT = {"retries": {"mode": "standard", "max_attempts": 5}, "connect_timeout": 10, "read_timeout": 60}
HASTY = {
    "retries": {"mode": "standard", "max_attempts": 2},
    "connect_timeout": 3,
    "read_timeout": 6,
}  # of a first check
# Headers with checksums that some S3-compatible servers refuse: only where S3 itself asks for them.
CHECKSUMS = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}


def connect(endpoint_url: str | None, *, hasty: bool = False) -> Any:
    """A client with boto3's default credential chain; ``endpoint_url`` is that of an S3-compatible server.

    A ``hasty`` one gives up within some ten seconds.
    """
    style = {"addressing_style": "path"} if endpoint_url else {}
    config = Config(**(HASTY if hasty else PATIENT), **CHECKSUMS, max_pool_connections=32, s3=style)
    return boto3.client("s3", endpoint_url=endpoint_url, config=config)


class S3Store:
    """S3 puts are atomic; this class only translates errors. The client is injected, and threads may share it.

    ``prefix`` stands before each key in the bucket, and nobody outside sees it; it ends with a slash.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self.client = client
        self.bucket = bucket
        self.prefix = prefix

    @property
    def name(self) -> str:
        server = urlsplit(self.client.meta.endpoint_url)
        place = f"the bucket {self.bucket} at {server.scheme}://{server.netloc.rpartition('@')[2]}"
        return f"{place}, below {self.prefix}" if self.prefix else place

    def read(self, key: str) -> bytes:
        """Raises botocore's IncompleteReadError or ResponseStreamingError where the connection ends too early."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self._key(key))
        except ClientError as error:
            if _code(error) in MISSING:
                raise ObjectNotFound(f"no object {key!r} in bucket {self.bucket}") from None
            raise
        if not _says_where_it_ends(answer):
            raise self._unsafe("it sends objects without Content-Length, so that a cut one looks whole")
        body: bytes = answer["Body"].read()
        return body

    def write(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=body)

    def create(self, key: str, body: bytes) -> None:
        """Raises UnsafeStore where the server says that it knows no such request."""
        place = self._key(key)
        for number in range(1, CREATE_TRIES + 1):
            try:
                self.client.put_object(Bucket=self.bucket, Key=place, Body=body, IfNoneMatch="*")
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
        for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix):
            yield from (item["Key"].removeprefix(self.prefix) for item in page.get("Contents", []))

    def exists(self, key: str) -> bool:
        try:
            self.client.head_object(Bucket=self.bucket, Key=self._key(key))
        except ClientError as error:
            if _code(error) in MISSING:
                return False
            raise
        return True

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self._key(key))

    def _key(self, key: str) -> str:
        return self.prefix + check_key(key)

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
