"""One suite for every store: what holds for a folder holds for a bucket."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from include.errors import InvalidKey, ObjectNotFound, PreconditionFailed
from include.lake.base import ObjectStore, create_or_read, read_existing, read_many
from include.lake.local import LocalStore
from include.lake.s3 import S3Store


def test_reads_what_was_written(store: ObjectStore) -> None:
    store.write("a/b.bin", b"\x00\xffbytes")
    assert store.read("a/b.bin") == b"\x00\xffbytes"
    assert store.exists("a/b.bin")


def test_writing_again_replaces(store: ObjectStore) -> None:
    store.write("a", b"old")
    store.write("a", b"new")
    assert store.read("a") == b"new"


def test_missing_keys_are_named(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFound, match="no/such/key"):
        store.read("no/such/key")
    assert not store.exists("no/such/key")


def test_part_of_a_path_is_no_object(store: ObjectStore) -> None:
    store.write("a/b/c", b"x")
    assert not store.exists("a/b")
    with pytest.raises(ObjectNotFound):
        store.read("a/b")
    with pytest.raises(ObjectNotFound):
        store.read("a/b/c/d")


def test_deleting_twice_is_no_error(store: ObjectStore) -> None:
    store.write("a/b", b"x")
    store.delete("a/b")
    store.delete("a/b")
    assert not store.exists("a/b")


def test_create_writes_only_if_absent(store: ObjectStore) -> None:
    store.create("once", b"first")
    with pytest.raises(PreconditionFailed, match="once"):
        store.create("once", b"second")
    assert store.read("once") == b"first"


def test_create_or_read_gives_everybody_the_same(store: ObjectStore) -> None:
    assert create_or_read(store, "owner", b"me") == b"me"
    assert create_or_read(store, "owner", b"you") == b"me"


def test_of_concurrent_creators_one_wins(store: ObjectStore) -> None:
    def create(number: int) -> bool:
        try:
            store.create("race", str(number).encode())
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(24)))
    assert won.count(True) == 1
    assert store.read("race") == str(won.index(True)).encode()


def test_concurrent_writers_leave_one_whole_object(store: ObjectStore) -> None:
    bodies = [bytes([number]) * 200_000 for number in range(12)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda body: store.write("same", body), bodies))
    assert store.read("same") in bodies


def test_lists_every_page_of_a_prefix(store: ObjectStore) -> None:
    for number in range(1005):
        store.write(f"many/{number:04}", b"x")
    store.write("manyfold", b"x")
    assert list(store.keys("many/")) == [f"many/{number:04}" for number in range(1005)]


def test_lists_in_the_order_of_bytes(store: ObjectStore) -> None:
    names = ["a.b", "a/b", "a/b.c", "a/c/d", "a0", "A", "ä", "z"]
    for name in names:
        store.write(name, b"x")
    assert list(store.keys("")) == sorted(names, key=str.encode)


def test_a_prefix_may_end_inside_a_name(store: ObjectStore) -> None:
    for name in ("run/one", "run/only/x", "run/two", "runs"):
        store.write(name, b"x")
    assert list(store.keys("run/on")) == ["run/one", "run/only/x"]
    assert list(store.keys("nothing/here")) == []


def test_unicode_keys_and_spaces(store: ObjectStore) -> None:
    key = "quarantine/Kätzchen 猫/ß.json"
    store.write(key, b"meow")
    assert store.read(key) == b"meow"
    assert list(store.keys("quarantine/")) == [key]


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a\x00b", "a\\b"])
def test_keys_that_no_store_could_hold_are_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(InvalidKey):
        store.write(key, b"x")


def test_empty_and_large_objects(store: ObjectStore) -> None:
    large = os.urandom(5_000_000)
    store.write("empty", b"")
    store.write("large", large)
    assert store.read("empty") == b""
    assert store.read("large") == large


def test_reads_many_in_order(store: ObjectStore) -> None:
    keys = [f"n/{number}" for number in range(300)]  # more than are held at a time
    for key in keys:
        store.write(key, key.encode())
    assert [body.decode() for body in read_many(store, keys)] == keys
    gone = {keys[7], keys[290]}
    for key in gone:
        store.delete(key)
    assert list(read_existing(store, keys)) == [None if key in gone else key.encode() for key in keys]
    with pytest.raises(ObjectNotFound):
        list(read_many(store, keys))


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from include.lake.local import LocalStore
from include.lake.s3 import S3Store, connect
kind, place, bucket = sys.argv[1:]
store = LocalStore(Path(place)) if kind == "folder" else S3Store(connect(place), bucket)
body = 0
while True:
    store.write("torn", bytes([body % 251]) * 5_000_000)
    body += 1
    print(body, flush=True)
"""


def test_an_interrupted_write_leaves_no_half_object(store: ObjectStore) -> None:
    """A process is killed in the middle of its writes, again and again; what stands is always one whole body."""
    if isinstance(store, LocalStore):
        where = ["folder", str(store.root), ""]
    else:
        assert isinstance(store, S3Store)
        where = ["s3", store.client.meta.endpoint_url, store.bucket]
    for delay in (0.0, 0.003, 0.007, 0.013):
        with subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, *where], stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            writer.stdout.readline()
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        body = store.read("torn")
        assert len(body) == 5_000_000
        assert body == body[:1] * len(body)
        assert list(store.keys("")) == ["torn"]
