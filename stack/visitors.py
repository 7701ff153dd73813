"""A few visitors of the app, who give labelled photos through the app's own code."""

import hashlib
import io
import random
from collections.abc import Iterator

from PIL import Image, ImageOps

from app import say, services
from include.dataset.splits import bucket, split_of_bucket
from include.errors import BaseDataMissing, NoModelYet, NotAPhoto
from include.images.decoding import decode
from include.images.photo_files import read_photo
from include.images.synthetic import draw_photo
from include.ingestion.base_photos import list_photos
from include.lake.base import ObjectStore
from include.settings import SAMPLE, Settings

PHOTOS = 8


def visit(lake: ObjectStore, settings: Settings, *, seed: int) -> int:
    """Upload PHOTOS labelled photos as two visitors would; the same seed gives the same photos. Returns how many."""
    for number, (source, photo) in enumerate(_photos(settings, seed)):
        cleaned = services.clean(photo)
        try:
            verdict = services.predict_live(cleaned)
        except NoModelYet:  # the first round of the loop: there is no model yet
            verdict = None
        visitor = f"demo visitor {seed}/{number % 2}"
        say.give(lake, cleaned, visitor=visitor, verdict=verdict, answer=settings.question.label_of(source))
    return PHOTOS


def _photos(settings: Settings, seed: int) -> Iterator[tuple[str, bytes]]:
    """New drawings beside drawn base photos; beside real ones, other cuts of some that train anyway."""
    for number in range(PHOTOS):
        source = settings.question.sources[number % len(settings.question.sources)]
        rng = random.Random(f"visitor/{seed}/{number}")
        yield source, draw_photo(source, rng) if settings.base_data == SAMPLE else _recut(settings, source, rng)


def _recut(settings: Settings, source: str, rng: random.Random) -> bytes:
    """A base photo of the train split, mirrored and cut: near-duplicates of val and test photos must not train."""
    files = list_photos(settings.base_data, source)
    for path in rng.sample(files, len(files)):
        body = read_photo(path) or b""
        if split_of_bucket(bucket(hashlib.sha256(body).hexdigest())) != "train":
            continue
        try:
            return _mirrored_cut(decode(body), rng)
        except NotAPhoto:
            continue
    raise BaseDataMissing(f"no photo of {source} in {settings.base_data} can train: add more photos")


def _mirrored_cut(image: Image.Image, rng: random.Random) -> bytes:
    width, height = image.size
    edge = rng.uniform(0.2, 0.25)  # less would be a near-duplicate
    box = (int(width * edge), int(height * edge), int(width * (1 - edge)), int(height * (1 - edge)))
    buffer = io.BytesIO()
    ImageOps.mirror(image.crop(box)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
