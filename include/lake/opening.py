"""Open the store that a URL names."""

from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.setting_types import parse_lake_url
from include.settings import Settings


def open_lake(settings: Settings, *, hasty: bool = False) -> ObjectStore:
    """The lake at ``CAT_LAKE_URL``; a ``hasty`` client gives up soon."""
    place = parse_lake_url(settings.lake)
    if place.folder:
        return LocalStore(place.folder)
    from include.lake.s3 import S3Store, connect  # importing boto3 takes half a second

    return S3Store(connect(settings.s3_endpoint_url, hasty=hasty), place.bucket, place.prefix)
