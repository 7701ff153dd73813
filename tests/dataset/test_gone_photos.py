"""Base photos that were taken away from the lake: runs go on without them, and older versions still rebuild."""

from include.dataset.manifest import digest_of, read_manifest
from include.ingestion.tombstones import bring_back, take_away
from include.lake import layout
from include.lake.local import LocalStore
from include.records import Tombstone
from tests.dataset.test_steps import publish, rebuild


def test_the_next_version_lacks_them_and_the_older_one_rebuilds(base_lake: LocalStore) -> None:
    first = publish(base_lake, "r1")
    going = list(read_manifest(base_lake, first)["key"])[::9]
    bodies = {key: base_lake.read(key) for key in going}
    for key in going:
        take_away(base_lake, Tombstone(key, "gone", "2026-01-01T00:00:00+00:00"))
    second = publish(base_lake, "r2")
    assert not set(read_manifest(base_lake, second)["key"]) & set(going)
    assert digest_of(rebuild(base_lake, first)) == first
    for key, body in bodies.items():
        base_lake.write(key, body)
        bring_back(base_lake, key)
    assert publish(base_lake, "r3") == first
    assert not list(base_lake.keys(layout.TOMBSTONES))
