"""From a URL to a store."""

from pathlib import Path

from include.errors import BadSetting
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.settings import Settings


def open_lake(settings: Settings | None = None) -> ObjectStore:
    """The lake that ``CAT_LAKE_URL`` names: ``file:///folder`` or ``s3://bucket``; raises BadSetting."""
    settings = settings or Settings()
    scheme, _, place = settings.lake.partition("://")
    if scheme == "file" and place:
        return LocalStore(Path(place))
    if scheme == "s3" and place:
        from include.lake.s3 import S3Store, connect  # boto3 costs half a second: only for those who use it

        return S3Store(connect(settings.s3_endpoint_url), place.rstrip("/"))
    raise BadSetting(f"CAT_LAKE_URL {settings.lake!r} is neither file:///folder nor s3://bucket")
