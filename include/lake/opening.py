"""Open the store that a URL names."""

from pathlib import Path

from include.errors import BadSetting
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.settings import Settings


def open_lake(settings: Settings) -> ObjectStore:
    """The lake at ``CAT_LAKE_URL``, ``file:///folder`` or ``s3://bucket``. Raises BadSetting for any other URL."""
    scheme, _, location = settings.lake.partition("://")
    if scheme == "file" and location:
        return LocalStore(Path(location))
    if scheme == "s3" and location:
        from include.lake.s3 import S3Store, connect  # importing boto3 takes half a second

        return S3Store(connect(settings.s3_endpoint_url), location.rstrip("/"))
    raise BadSetting(f"CAT_LAKE_URL {settings.lake!r} is neither file:///folder nor s3://bucket")
