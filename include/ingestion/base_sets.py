"""Base sets: which one a lake holds, and for which question."""

import json
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from include.errors import BadSetting, ObjectNotFound, OtherLake
from include.ingestion.base_photos import check_sources, list_photos
from include.ingestion.base_set_contents import holds_same_photos
from include.lake import layout
from include.lake.base import ObjectStore, create_or_read
from include.lake.formats import to_json
from include.lake.listing import own_keys
from include.lake.write_once import check_write_once
from include.question import Question
from include.settings import SAMPLE, Settings


def claim_lake(store: ObjectStore, settings: Settings) -> dict[str, Any]:
    """Write which base set, question and seed the lake holds; returns what it holds. Safe to repeat.

    Photos are looked at first, and nothing is written before all checks have passed but the keys of
    ``check_write_once``. A lake that holds no base photos belongs to no base set yet, and one that holds no uploads
    either belongs to no question. Raises BadSetting, BaseDataMissing, OtherLake or UnsafeStore.
    """
    check_base_data(settings)
    owner = _read_owner(store)
    held = {layout.parse_base(key).sha256 for key in own_keys(store, layout.BASE)}
    if owner and (held or any(own_keys(store, layout.UPLOADS))):
        check_question(owner, settings.question)
    if owner and held:
        check_base_set(owner, held, settings)
    check_write_once(store)
    return owner if owner and held else _claim_anew(store, settings, owner)


def _claim_anew(store: ObjectStore, settings: Settings, owner: dict[str, Any] | None) -> dict[str, Any]:
    """Replace the claim ``owner``. Of two first claims at once the earlier counts; raises OtherLake for the other."""
    question = settings.question.model_dump(mode="json")
    claim = {"base_set": settings.base_set, "seed": settings.seed, "question": question}
    if owner not in (None, claim):
        store.delete(layout.LAKE)
    written: dict[str, Any] = json.loads(create_or_read(store, layout.LAKE, to_json(claim)))
    check_question(written, settings.question)
    if written["base_set"] != claim["base_set"]:
        raise _other_base_set(written, settings)
    return written


def check_base_data(settings: Settings) -> None:
    """Every source of the question has photos. Raises BaseDataMissing or BadSetting."""
    check_sample(settings)
    check_sources(settings.base_data, settings.question.sources)


def check_base_set(owner: dict[str, Any], held: Collection[str], settings: Settings) -> None:
    """Raises OtherLake where the lake, with photos whose sha256 are ``held``, is of another base set.

    The sample is known by its name, a folder by its photos: its path may change, and so may some of them.
    """
    if settings.base_data == SAMPLE:
        is_same = owner["base_set"] == settings.base_set
    else:
        files = [path for source in settings.question.sources for path in list_photos(settings.base_data, source)]
        is_same = holds_same_photos(Path(settings.base_data), files, held)
    if not is_same:
        raise _other_base_set(owner, settings)


def _other_base_set(owner: dict[str, Any], settings: Settings) -> OtherLake:
    return OtherLake(
        f"this lake holds the base set {owner['base_set']!r}, and {settings.base_data!r} is another one: set "
        "CAT_BASE_DATA to what this lake was filled from, wherever that is now, or CAT_LAKE_URL to a lake of its own"
    )


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


def check_claim(store: ObjectStore, owner: dict[str, Any]) -> None:
    """Raises OtherLake where the lake does not hold the claim ``owner`` any more, as ``claim_lake`` returned it."""
    if _read_owner(store) != owner:
        raise OtherLake("this lake was claimed by another run a moment ago: clear the task claim_lake, which names it")


def _read_owner(store: ObjectStore) -> dict[str, Any] | None:
    with suppress(ObjectNotFound):
        owner: dict[str, Any] = json.loads(store.read(layout.LAKE))
        return owner
    return None
