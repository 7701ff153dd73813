"""Base sets: where their photos come from, and how they enter the lake."""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from include.errors import BadSetting, BaseDataMissing, OtherLake
from include.files import visible_files
from include.images.synthetic import draw_sample
from include.lake import layout
from include.lake.base import ObjectStore, create_or_read
from include.lake.formats import to_json
from include.question import Question
from include.settings import SAMPLE, Settings

log = logging.getLogger(__name__)


def claim_lake(store: ObjectStore, settings: Settings) -> dict[str, Any]:
    """Write once which base set, question and seed the lake holds; returns what it holds.

    Raises OtherLake where the lake belongs to another base set or question, BadSetting where the sample is asked for
    another question than the default one.
    """
    check_sample(settings)
    question = settings.question.model_dump(mode="json")
    claim = {"base_set": settings.base_set, "seed": settings.seed, "question": question}
    owner: dict[str, Any] = json.loads(create_or_read(store, layout.LAKE, to_json(claim)))
    if owner["base_set"] != settings.base_set:
        raise OtherLake(
            f"this lake holds the base set {owner['base_set']!r}, not {settings.base_set!r}: "
            "set CAT_BASE_DATA to what it holds, or CAT_LAKE_URL to a lake of its own"
        )
    check_question(owner, settings.question)
    return owner


def check_sample(settings: Settings) -> None:
    """The sample is drawn for the default question only; raises BadSetting."""
    if settings.base_data == SAMPLE and settings.question.sources != Question().sources:
        sources = ", ".join(settings.question.sources)
        raise BadSetting(f"the drawn sample has no {sources}: set CAT_BASE_DATA to a folder that holds them")


def check_question(owner: dict[str, Any], question: Question) -> None:
    """Raises OtherLake where the lake's ``lake.json`` names another question, or none, as older lakes do."""
    held = owner.get("question")
    if held is None or Question.model_validate(held).digest != question.digest:
        name = Question.model_validate(held).text if held else "of an older version"
        raise OtherLake(
            f"this lake belongs to another question ({name}): set CAT_QUESTION__... back, "
            "or set CAT_LAKE_URL or CAT_STATE_DIR to a place of its own and run ingest_base_datasets and retrain once"
        )


def read_lake(store: ObjectStore, question: Question) -> dict[str, Any]:
    """What ``claim_lake`` wrote. Raises ObjectNotFound before the first ingest, OtherLake for another question."""
    owner: dict[str, Any] = json.loads(store.read(layout.LAKE))
    check_question(owner, question)
    return owner


def read_source(base_data: str, source: str, *, seed: int) -> Iterator[bytes]:
    """The original bytes of every photo of one source, in a fixed order; raises BaseDataMissing."""
    if base_data == SAMPLE:
        yield from draw_sample(source, seed=seed)
        return
    for path in _files(Path(base_data) / source):
        yield path.read_bytes()


def ingest_source(store: ObjectStore, source: str, *, base_data: str, seed: int) -> dict[str, int]:
    """Write what is new of one source into the lake, under the hash of its bytes. Safe to repeat."""
    known = {layout.parse_base(key).sha256 for key in store.keys(layout.base(source, ""))}
    seen = new = 0
    for body in read_source(base_data, source, seed=seed):
        seen += 1
        sha256 = hashlib.sha256(body).hexdigest()
        if sha256 not in known:
            store.write(layout.base(source, sha256), body)
            known.add(sha256)
            new += 1
    log.info("%s: %d photos read, %d of them new, %d in the lake", source, seen, new, len(known))
    return {"seen": seen, "new": new, "in_lake": len(known)}


def _files(folder: Path) -> list[Path]:
    """Every file below the folder but hidden ones: decoding finds out which are no photos, and reports them."""
    files = visible_files(folder)
    if not files:
        raise BaseDataMissing(
            f"no photos in {folder}: CAT_BASE_DATA must be 'sample' or a folder that holds a folder {folder.name!r}"
        )
    return files
