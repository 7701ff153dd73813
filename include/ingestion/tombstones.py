"""Photos that were taken away from the lake: a record stands for each of them."""

from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.listing import own_keys
from include.records import Tombstone


def list_taken(store: ObjectStore, prefix: str) -> set[str]:
    """The keys below ``prefix`` of photos with a tombstone, whether or not their objects are deleted by now."""
    return {layout.key_of_tombstone(key) for key in own_keys(store, layout.tombstones(prefix))}


def take_away(store: ObjectStore, tombstone: Tombstone) -> None:
    """Write the record, then delete the photo. After a kill in between the photo counts as taken away."""
    store.write(layout.tombstone(tombstone.key), tombstone.to_json())
    store.delete(tombstone.key)


def bring_back(store: ObjectStore, key: str) -> None:
    """The photo under ``key``, which is in the lake again, counts again."""
    store.delete(layout.tombstone(key))
