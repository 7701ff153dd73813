"""Small pictures with known answers, drawn for tests."""

import hashlib
import io
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance, ImageOps

from include.dataset import facts
from include.dataset.splits import bucket, split_of_bucket
from include.images.synthetic import draw_photo
from include.ingestion import snapshot
from include.ingestion.base_sets import claim_lake
from include.ingestion.uploads import save_feedback, save_upload
from include.lake import layout
from include.lake.base import ObjectStore
from include.question import Question
from include.records import UploadRecord
from include.settings import Settings

QUESTION = Question()


def encode(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(
    colour: str | tuple[int, int, int] = "red", size: tuple[int, int] = (64, 48), kind: str = "JPEG", **options: Any
) -> bytes:
    return encode(Image.new("RGB", size, colour), kind, **options)


def drawing(source: str, number: int) -> bytes:
    return draw_photo(source, random.Random(f"test/{source}/{number}"))


def drawn_image(source: str, number: int) -> Image.Image:
    return Image.open(io.BytesIO(drawing(source, number))).convert("RGB")


def drawing_on(split: str, source: str, *, start: int = 10_000) -> bytes:
    """A drawing that belongs to the given split."""
    for number in range(start, start + 1000):
        body = drawing(source, number)
        if split_of_bucket(bucket(hashlib.sha256(body).hexdigest())) == split:
            return body
    raise AssertionError(f"no drawing of {source} belongs to {split}")


def edited_copy(image: Image.Image, rng: random.Random) -> bytes:
    """The same picture as another JPEG: by chance mirrored, turned, cropped to its centre, lighter, darker, resized."""
    image = ImageOps.mirror(image) if rng.random() < 0.5 else image
    image = image.rotate(90 * rng.randrange(4), expand=True)
    image = ImageOps.crop(image, border=round(image.width * rng.choice([0, rng.uniform(0, 0.09)])))
    image = ImageEnhance.Brightness(image).enhance(rng.choice([1, rng.uniform(0.8, 1.3)]))
    side = rng.randint(80, 240)
    return encode(image.resize((side, side)), quality=rng.randint(40, 95))


def copies_over_splits(image: Image.Image, count: int) -> list[bytes]:
    """Copies of one picture, each edited in another way: a fifth on test, a fifth on val, the others on train."""
    rng = random.Random(f"copies/{count}")
    room = {"test": count // 5, "val": count // 5, "train": count - 2 * (count // 5)}
    copies: list[bytes] = []
    while len(copies) < count:
        copy = edited_copy(image, rng)
        split = split_of_bucket(bucket(hashlib.sha256(copy).hexdigest()))
        if room[split]:
            room[split] -= 1
            copies.append(copy)
    rng.shuffle(copies)
    return copies


def fill_base(store: ObjectStore, *, per_source: int = 80) -> None:
    """A lake with a few drawings of each source."""
    claim_lake(store, Settings())
    for source in QUESTION.sources:
        for number in range(per_source):
            add_base(store, source, drawing(source, number))


def add_base(store: ObjectStore, source: str, photo: bytes) -> str:
    """A base photo as `ingest` leaves it; returns its key."""
    key = layout.base(source, hashlib.sha256(photo).hexdigest())
    store.write(key, photo)
    return key


def give(store: ObjectStore, photo_id: str, photo: bytes, answer: str | None, *, session: str = "s1") -> None:
    """An upload with its feedback, by the contract that the app follows."""
    record = UploadRecord(photo_id, "2026-01-01T00:00:00+00:00", session, 1, "1", 0.5)
    save_upload(store, photo, record)
    if answer:
        save_feedback(store, photo_id, answer)


def describe_photos(store: ObjectStore, run: str, cache: Path) -> int:
    """A snapshot, and facts and embeddings of what is new, as the tasks of `collect` make them; returns how many."""
    snapshot.snapshot_base(store, run, QUESTION)
    snapshot.snapshot_uploads(store, run)
    shards = facts.list_new_images(store, run, cache=cache, shard_size=500)
    return sum(facts.describe(store, shard)["described"] for shard in shards)
