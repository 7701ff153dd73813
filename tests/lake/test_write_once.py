"""A store that does not keep what was created once is refused by name; a fault that passes is no reason to refuse."""

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import botocore.endpoint
import pytest

from include.errors import InputError, PreconditionFailed, UnsafeStore
from include.ingestion.base_sets import claim_lake
from include.lake import layout, s3
from include.lake.local import LocalStore
from include.lake.s3 import S3Store, connect
from include.lake.write_once import WRITERS, check_write_once
from include.settings import Settings
from tests.lake.proxy import Faults, now_and_then, proxy

Behind = Callable[[Faults], S3Store]


@pytest.fixture
def behind(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behind]:
    """A bucket behind a proxy with faults; boto3 repeats requests without a pause."""
    no_pause = SimpleNamespace(sleep=lambda _: None, time=time.time)
    monkeypatch.setattr(botocore.endpoint, "time", no_pause)
    monkeypatch.setattr(s3, "time", no_pause)
    with ExitStack() as proxies:

        def make(faults: Faults) -> S3Store:
            direct = S3Store(connect(s3_url), f"lake-{uuid4().hex}")
            direct.ensure_bucket()
            return S3Store(connect(proxies.enter_context(proxy(s3_url, faults))), direct.bucket)

        yield make


def fault_of(call: Callable[[], object]) -> Exception | None:
    """What the call raises."""
    try:
        call()
    except Exception as error:
        return error
    return None


def test_a_server_that_ignores_the_condition_is_refused_by_name(behind: Behind) -> None:
    bucket = behind(Faults(forgets=("if-none-match",)))
    server = bucket.client.meta.endpoint_url
    with pytest.raises(
        UnsafeStore, match=f"bucket {bucket.bucket} at {server} .* created one key twice.*If-None-Match"
    ):
        check_write_once(bucket)
    assert list(bucket.keys("")) == []


def test_a_server_that_knows_no_conditions_is_refused_by_name(behind: Behind) -> None:
    bucket = behind(Faults(refuses_conditions=True))
    with pytest.raises(UnsafeStore, match=f"bucket {bucket.bucket} at http.*If-None-Match.*make test-lake"):
        check_write_once(bucket)


def test_an_unsafe_store_is_not_claimed(behind: Behind) -> None:
    bucket = behind(Faults(forgets=("if-none-match",)))
    with pytest.raises(UnsafeStore):
        claim_lake(bucket, Settings())
    assert list(bucket.keys("")) == []


def test_the_name_of_a_store_holds_no_credentials(s3_url: str) -> None:
    client = connect(s3_url.replace("http://", "http://ann:secret@"))
    assert S3Store(client, "photos").name == f"the bucket photos at {s3_url}"


@pytest.mark.parametrize("seed", range(2))
def test_503_now_and_then_is_no_refusal(behind: Behind, seed: int) -> None:
    """One of six requests fails before the server heard of it, and one of six afterwards."""
    faults = Faults(is_unavailable=now_and_then(1 / 6, seed), loses_answer=now_and_then(1 / 6, seed + 100))
    bucket = behind(faults)
    assert not isinstance(fault_of(lambda: check_write_once(bucket)), InputError)
    assert len(faults.asked) > WRITERS


def test_503_for_ever_is_no_refusal_either(behind: Behind) -> None:
    bucket = behind(Faults(is_unavailable=lambda line: line.startswith("PUT")))
    with pytest.raises(Exception, match="503") as caught:
        check_write_once(bucket)
    assert not isinstance(caught.value, InputError)


def test_who_created_an_object_is_told_so_although_the_answer_was_lost(behind: Behind) -> None:
    lost = iter([True])
    bucket = behind(Faults(loses_answer=lambda line: line.startswith("PUT") and next(lost, False)))
    bucket.create("once", b"first")
    assert bucket.read("once") == b"first"
    with pytest.raises(PreconditionFailed):
        bucket.create("once", b"second")
    lost = iter([True])
    with pytest.raises(PreconditionFailed):
        bucket.create("once", b"third")
    assert bucket.read("once") == b"first"


@pytest.mark.parametrize("end", ["length", "chunks"])
def test_half_an_object_is_never_read_as_a_whole(behind: Behind, end: str) -> None:
    """Bodies of random sizes, cut at random places: whoever reads gets all of it or an error that is retried."""
    rng, keeps = random.Random(end), dict[str, int]()
    faults = Faults(keeps=lambda line, size: keeps.get(line.rpartition("/")[2]), end=end)  # type: ignore[arg-type]
    bucket = behind(faults)
    for number in range(8):
        body, key = rng.randbytes(rng.choice([1, 100, 70_000, 300_000])), f"{number:03}"
        bucket.write(key, body)
        assert bucket.read(key) == body
        keeps[key] = rng.randrange(len(body))
        with pytest.raises(Exception, match="bytes|IncompleteRead|stream") as caught:
            bucket.read(key)
        assert not isinstance(caught.value, InputError), caught.value


def test_a_server_whose_objects_end_anywhere_is_refused(behind: Behind) -> None:
    bucket = behind(Faults(end="close"))
    bucket.write("a", b"photo")
    with pytest.raises(UnsafeStore, match="Content-Length"):
        bucket.read("a")
    with pytest.raises(UnsafeStore, match=f"bucket {bucket.bucket}.*Content-Length"):
        check_write_once(bucket)


@pytest.mark.parametrize(("cuts", "whole"), [(2, True), (100, False)])
def test_a_listing_that_is_cut_is_never_read_as_a_whole(behind: Behind, cuts: int, whole: bool) -> None:
    """boto3 asks again, five times in all."""
    left = [True] * cuts
    bucket = behind(Faults(keeps=lambda line, size: size // 2 if "list-type" in line and left and left.pop() else None))
    keys = [f"many/{number:02}" for number in range(20)]
    for key in keys:
        bucket.write(key, b"x")
    listed = list[str]()
    fault = fault_of(lambda: listed.extend(bucket.keys("many/")))
    assert (fault is None) == whole
    assert not isinstance(fault, InputError)
    assert listed == (keys if whole else [])


@pytest.mark.parametrize(
    ("number", "error_type"),
    [(errno.EPERM, UnsafeStore), (errno.ENOTSUP, UnsafeStore), (errno.EIO, OSError), (errno.ENOSPC, OSError)],
)
def test_a_folder_without_hard_links_is_refused_but_not_a_full_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error_type: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(error_type, match=os.strerror(number)) as caught:
        check_write_once(LocalStore(tmp_path))
    assert isinstance(caught.value, InputError) == (error_type is UnsafeStore)


class Careless(LocalStore):
    """Looks whether the key exists, then writes: between the two there is time for another writer."""

    def create(self, key: str, body: bytes) -> None:
        if self.exists(key):
            raise PreconditionFailed(key)
        time.sleep(0.002)
        self.write(key, body)


class Overwriting(LocalStore):
    """Refuses, but has written before it looks."""

    def create(self, key: str, body: bytes) -> None:
        existed = self.exists(key)
        self.write(key, body)
        if existed:
            raise PreconditionFailed(key)


class Refusing(LocalStore):
    """Refuses to create anything."""

    def create(self, key: str, body: bytes) -> None:
        raise PreconditionFailed(key)


class Forgetful(LocalStore):
    """Remembers which keys it created, and keeps none."""

    def create(self, key: str, body: bytes) -> None:
        super().create(f"{key}.taken", b"")


class Late(LocalStore):
    """Keeps what the last of many writers wrote, and tells the first that it was it."""

    def create(self, key: str, body: bytes) -> None:
        if key.startswith(layout.trial("at-once")):
            self.write(f"{key}.all", body)
        try:
            super().create(key, body)
        except PreconditionFailed:
            if self.exists(f"{key}.all"):
                self.write(key, body)
            raise


@pytest.mark.parametrize(
    ("store_type", "fault"),
    [
        (Careless, f"of {WRITERS} writers that created one key at once succeeded"),
        (Overwriting, "a create that it refused changed the object"),
        (Refusing, "refused to create a key that did not exist"),
        (Forgetful, "was not there when it was read"),
        (Late, "kept what a refused one wrote"),
    ],
)
def test_each_way_to_break_the_promise_is_named(tmp_path: Path, store_type: type[LocalStore], fault: str) -> None:
    with pytest.raises(UnsafeStore, match=f"the folder {tmp_path} cannot be a lake: .*{fault}"):
        check_write_once(store_type(tmp_path))
    assert not [key for key in LocalStore(tmp_path).keys(layout.TRIALS) if not key.endswith((".taken", ".all"))]


class Dice(LocalStore):
    """A store that mostly keeps its promise. ``faults`` counts what it did wrong, ``fell`` how often it was down."""

    def __init__(self, root: Path, seed: int) -> None:
        super().__init__(root)
        self.rng, self.lock = random.Random(seed), threading.Lock()
        self.share = self.rng.choice([0.0, 0.01, 0.1])
        self.down = self.rng.choice([0.0, 0.0, 0.02])
        self.faults = self.fell = 0

    def create(self, key: str, body: bytes) -> None:
        with self.lock:
            if self.rng.random() < self.down:
                self.fell += 1
                raise ConnectionError("the connection was reset")
            exists = self.exists(key)
            if self.rng.random() >= self.share:
                return super().create(key, body)
            way = self.rng.choice(["lets in", "overwrites", "loses"])
            if way == "loses":
                self.faults += not exists
            if way != "loses":
                self.faults += exists
                self.write(key, body)
            if exists and way != "lets in":
                raise PreconditionFailed(key)
        return None


def test_random_stores_are_refused_if_and_only_if_they_broke_the_promise(tmp_path: Path) -> None:
    """30 stores: honest ones, ones that err once in a hundred or ten times, with and without resets."""
    verdicts = {"kept": 0, "refused": 0, "down": 0}
    for seed in range(30):
        store = Dice(tmp_path / str(seed), seed)
        try:
            check_write_once(store)
            verdict = "kept"
        except UnsafeStore:
            verdict = "refused"
        except ConnectionError:
            verdict = "down"
        verdicts[verdict] += 1
        assert (verdict == "down") <= (store.fell > 0), seed
        assert verdict == "down" or (verdict == "refused") == (store.faults > 0), (seed, verdict, store.faults)
        assert list(store.keys("")) == [], seed
    assert min(verdicts.values()) >= 3, verdicts
