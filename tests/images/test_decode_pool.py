"""Photos decoded in worker processes: equal pixels, and whatever happens to a worker is an answer about one photo."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import psutil
import pytest
from PIL import Image

from include.errors import DecodersBusy, NotAPhoto
from include.images import decode_pool, decoded
from include.images.decode_pool import DecodePool, LargePhoto
from include.images.decode_process import Answer, DecodeProcess
from include.images.decoding import decode, decode_pixels
from include.settings import Decoding
from tests.pictures import drawing, encode, plain
from tests.waiting import until

BOMB = encode(Image.new("RGBA", (4000, 3500), (255, 0, 0, 100)), "PNG")  # 14 megapixels: large, and within the limits


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(Decoding(workers=2))
    yield pool
    pool.close()


def workers() -> list[psutil.Process]:
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "include.images.decode_worker" in child.cmdline()]


@pytest.mark.parametrize(
    "photo",
    [drawing("cats", 1), plain("blue", size=(900, 40)), encode(Image.new("RGBA", (50, 60)), "PNG"), plain(kind="WEBP")],
    ids=["drawing", "wide", "transparent", "webp"],
)
def test_pixels_are_those_that_training_sees(pool: DecodePool, photo: bytes) -> None:
    there = pool.decode_for_network(photo, 32, preview=48, large=False)
    here = decoded.decode_for_network(photo, 32, preview=48)
    assert (there.pixels == decode_pixels(photo, 32)).all()
    assert there.preview is not None
    assert here.preview is not None
    assert there.preview.tobytes() == here.preview.tobytes()
    assert there.source_pixels == here.source_pixels > 0


@pytest.mark.parametrize(
    ("photo", "size", "decoded_times"),
    [
        (encode(Image.new("RGBA", (400, 300), (255, 0, 0, 100)), "PNG"), (384, 288), 1),
        (plain("blue", size=(120, 90)), (120, 90), 1),
        (plain("blue", size=(400, 300)), (384, 288), 2),
    ],
    ids=["never reduced", "not reduced", "reduced to less than its preview"],
)
def test_a_photo_is_decoded_again_for_its_preview_only_where_that_gives_more_pixels(
    monkeypatch: pytest.MonkeyPatch, photo: bytes, size: tuple[int, int], decoded_times: int
) -> None:
    times = list[int]()
    monkeypatch.setattr(decoded, "decode", lambda *given, **more: times.append(1) or decode(*given, **more))  # type: ignore[func-returns-value]
    preview = decoded.decode_for_network(photo, 32, preview=384).preview
    assert preview is not None
    assert preview.size == size
    assert len(times) == decoded_times


def test_a_cleaned_photo_is_the_same_as_in_this_process(pool: DecodePool) -> None:
    photo = plain("red", size=(3000, 2000), exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00")
    clean = pool.clean_jpeg(photo, side=1024, quality=90)
    assert clean == decoded.clean_jpeg(photo, side=1024, quality=90)
    with Image.open(BytesIO(clean)) as picture:
        assert picture.size == (1024, 683)
        assert "exif" not in picture.info


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (b"", "empty"),
        (b"%PDF-1.7", "not_an_image"),
        (plain(size=(400, 300))[:900], "damaged"),
        (plain(size=(8, 8)), "too_small"),
    ],
)
def test_what_is_no_photo_is_refused_as_everywhere(pool: DecodePool, photo: bytes, reason: str) -> None:
    with pytest.raises(NotAPhoto) as refused:
        pool.decode_for_network(photo, 32, large=False)
    assert refused.value.reason == reason


def test_a_photo_that_takes_too_long_is_refused_and_the_next_is_answered() -> None:
    pool = DecodePool(Decoding(workers=1, seconds=0.05))
    with pytest.raises(NotAPhoto, match="more than 0 seconds") as refused:
        pool.clean_jpeg(BOMB, side=1024, quality=90)
    assert refused.value.reason == "too_slow"
    patient = DecodePool(Decoding(workers=1))
    assert patient.clean_jpeg(BOMB, side=1024, quality=90)
    for each in (pool, patient):
        each.close()


def test_a_photo_that_takes_too_much_memory_is_refused_and_the_next_is_answered() -> None:
    pool = DecodePool(Decoding(workers=1, memory=100_000_000))
    with pytest.raises(NotAPhoto) as refused:
        pool.clean_jpeg(encode(Image.new("RGBA", (6000, 6000)), "WEBP"), side=1024, quality=90)
    assert refused.value.reason in ("too_large", "too_many_pixels")
    assert pool.clean_jpeg(plain(), side=1024, quality=90)
    pool.close()


def test_memory_is_given_back() -> None:
    pool = DecodePool(Decoding(workers=1))
    pool.warm()
    (worker,) = workers()[-1:]
    before = worker.memory_info().rss
    pool.clean_jpeg(BOMB, side=1024, quality=90)
    assert worker.memory_info().rss < before + 30e6, "the picture has 56 MB"
    pool.close()


def test_a_worker_that_is_killed_costs_nobody_an_answer(pool: DecodePool) -> None:
    pool.warm()
    for worker in workers():
        worker.kill()
    assert pool.decode_for_network(drawing("cats", 2), 32, large=False).pixels.any()
    with ThreadPoolExecutor(1) as visitor:
        cleaned = visitor.submit(pool.clean_jpeg, BOMB, side=64, quality=90)
        (busy,) = until(lambda: [worker for worker in workers() if worker.memory_info().rss > 80e6])
        busy.kill()
        assert cleaned.result()


def test_a_photo_over_which_two_workers_die_is_refused(pool: DecodePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DecodeProcess, "ask", lambda *_: None)
    with pytest.raises(NotAPhoto) as refused:
        pool.decode_for_network(plain(), 32, large=False)
    assert refused.value.reason == "undecodable"


def test_a_large_photo_is_left_to_who_has_time(pool: DecodePool) -> None:
    with pytest.raises(LargePhoto):
        pool.decode_for_network(BOMB, 32, large=False)
    assert pool.decode_for_network(BOMB, 32, large=True).source_pixels == 14_000_000


def test_large_photos_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, at_once, most = DecodePool(Decoding(workers=2)), [0], [0]
    ask_one = pool._ask_one

    def count(body: bytes, order: dict) -> Answer | None:
        at_once[0] += order["large"]
        most[0] = max(most[0], at_once[0])
        answer = ask_one(body, order)
        at_once[0] -= order["large"]
        return answer

    monkeypatch.setattr(pool, "_ask_one", count)
    with ThreadPoolExecutor(4) as visitors:
        cleaned = list(visitors.map(lambda _: pool.clean_jpeg(BOMB, side=64, quality=90), range(4)))
    assert len(set(cleaned)) == 1
    assert most == [1]
    pool.close()


def test_beyond_a_bounded_number_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_pool, "WAITING", 1)
    pool, release = DecodePool(Decoding(workers=1)), threading.Event()
    monkeypatch.setattr(pool, "_ask_one", lambda body, order: release.wait(20) and Answer({}, [b"jpeg"]))
    with ThreadPoolExecutor(2) as visitors:
        waiting = [visitors.submit(pool.clean_jpeg, b"", side=64, quality=90) for _ in range(2)]
        while pool._entrance._value:
            time.sleep(0.01)
        with pytest.raises(DecodersBusy, match="try again"):
            pool.clean_jpeg(b"", side=64, quality=90)
        release.set()
        assert [each.result() for each in waiting] == [b"jpeg"] * 2


def test_workers_end_with_the_process_that_started_them() -> None:
    if (child := os.fork()) == 0:
        own = DecodePool(Decoding(workers=1))
        own.warm()
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    (worker,) = psutil.Process(child).children()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    worker.wait(timeout=20)
    assert not worker.is_running()
