"""One suite for every store: what holds for a folder holds for a bucket, and `make test-lake` tries somebody's own."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from include.errors import InvalidKey, ObjectNotFound, PreconditionFailed
from include.lake.base import ObjectStore, create_or_read, read_existing, read_many
from include.lake.local import LocalStore
from include.lake.s3 import S3Store
from include.lake.write_once import check_write_once


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


def test_each_overwrite_is_read_at_once(store: ObjectStore) -> None:
    for number in range(30):
        body = str(number).encode() * (30 - number)
        store.write("a", body)
        assert store.read("a") == body


def test_each_write_and_delete_is_listed_at_once(store: ObjectStore) -> None:
    for number in range(15):
        store.write(f"list/{number:02}", b"x")
        assert list(store.keys("list/")) == [f"list/{place:02}" for place in range(number + 1)]
    for number in range(15):
        store.delete(f"list/{number:02}")
        assert list(store.keys("list/")) == [f"list/{place:02}" for place in range(number + 1, 15)]


def test_what_is_deleted_is_gone_at_once(store: ObjectStore) -> None:
    for number in range(10):
        store.create("a", str(number).encode())
        assert store.read("a") == str(number).encode()
        store.delete("a")
        assert not store.exists("a")
        with pytest.raises(ObjectNotFound):
            store.read("a")


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
    for body in (b"second", b"", b"first", b"much longer" * 100_000):
        with pytest.raises(PreconditionFailed, match="once"):
            store.create("once", body)
        assert store.read("once") == b"first"
    assert list(store.keys("")) == ["once"]


def test_create_yields_to_a_write_and_a_write_replaces_what_was_created(store: ObjectStore) -> None:
    store.write("a", b"written")
    with pytest.raises(PreconditionFailed):
        store.create("a", b"created")
    assert store.read("a") == b"written"
    store.create("b", b"created")
    store.write("b", b"written")
    assert store.read("b") == b"written"


def test_the_store_has_a_name_without_credentials(store: ObjectStore) -> None:
    assert store.name.startswith(("the folder /", "the bucket "))
    assert "@" not in store.name


def test_the_store_may_be_claimed(store: ObjectStore) -> None:
    check_write_once(store)
    assert list(store.keys("")) == []


def test_create_or_read_gives_everybody_the_same(store: ObjectStore) -> None:
    assert create_or_read(store, "owner", b"me") == b"me"
    assert create_or_read(store, "owner", b"you") == b"me"


def test_of_32_concurrent_creators_one_wins(store: ObjectStore) -> None:
    start = Barrier(32, timeout=60)

    def create(key: str, number: int) -> bool:
        start.wait()
        try:
            store.create(key, str(number).encode())
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        for key in ("race/1", "race/2", "race/3"):
            won = list(pool.map(create, [key] * 32, range(32)))
            assert won.count(True) == 1
            assert store.read(key) == str(won.index(True)).encode()


def test_concurrent_writers_leave_one_whole_object(store: ObjectStore) -> None:
    bodies = [bytes([number]) * 200_000 for number in range(12)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda body: store.write("same", body), bodies))
    assert store.read("same") in bodies


def test_lists_every_page_of_a_prefix(store: ObjectStore) -> None:
    keys = [f"many/{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(store.write, [*keys, "manyfold"], [b"x"] * 1006))
    assert list(store.keys("many/")) == keys


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


def test_keys_that_a_url_could_garble(store: ObjectStore) -> None:
    keys = sorted(f"runs/{name}/x=3A1~2" for name in ("a+b", "a%2Fb", "a&b", "a?b", "a#b", "a;b", "a'b", "é"))
    for key in keys:
        store.write(key, key.encode())
    assert list(store.keys("runs/")) == keys
    assert [store.read(key).decode() for key in keys] == keys
    assert list(store.keys("runs/a%")) == ["runs/a%2Fb/x=3A1~2"]


def test_a_key_may_be_long(store: ObjectStore) -> None:
    key = "/".join(["runs", "x" * 200, "y" * 200, "z" * 200, "report.json"])
    store.create(key, b"x")
    assert list(store.keys(key[:300])) == [key]
    assert store.read(key) == b"x"


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
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(store.write, keys, map(str.encode, keys)))
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
    store.write("torn", b"")  # so that `borrowed` knows of it
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
