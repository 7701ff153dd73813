"""The lake follows the folder: what moved there and what is gone from it, and how the lake takes that over."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from include.errors import CannotFollow
from include.ingestion.tombstones import list_taken, take_away
from include.lake import layout
from include.lake.base import ObjectStore, map_many
from include.lake.formats import read_json
from include.lake.listing import own_keys
from include.records import Tombstone

log = logging.getLogger(__name__)

EXAMPLES = 3  # keys of each kind, in the log and in what the task returns
Keys = Mapping[str, set[str]]  # keys of base photos by their source


@dataclass(frozen=True)
class Changes:
    """What differs between lake and folder, by keys of the lake.

    ``new`` entered the lake by this run; ``moved`` leads from an old key to the new one; ``gone`` is in no folder;
    ``unfinished`` has a tombstone, and an object still, because the task was killed between the two.
    """

    new: list[str]
    moved: dict[str, str]
    gone: list[str]
    unfinished: list[str]


def follow_folder(store: ObjectStore, run: str, sources: Sequence[str], *, follow: bool) -> dict[str, Any]:
    """Task: say what is new, moved and gone; with ``follow`` take moved and gone photos away, and leave tombstones.

    Returns the numbers and a few keys of each kind. Safe to repeat. Raises CannotFollow before anything is deleted,
    where a later run has read the folder, where something in it could not be read, or where more than half of a source
    would go.
    """
    seen, new, unreadable = _read_ingested(store, run, sources)
    held = {source: set(own_keys(store, layout.base(source, ""))) for source in sources}
    changes = compare(held, seen, new=new, taken=list_taken(store, layout.BASE))
    refusal = _unread(unreadable) or too_much_gone(changes, held)
    if follow and refusal:
        raise CannotFollow(refusal)
    _log(changes, follow=follow, refusal=refusal)
    _for_each(store.delete, changes.unfinished)
    going = {tombstone.key: tombstone for tombstone in tombstones(changes)} if follow else {}
    _for_each(lambda key: take_away(store, going[key]), going)
    return {**_numbers(changes), "taken_away": len(going), "such_as": _examples(changes)}


def compare(held: Keys, seen: Keys, *, new: Iterable[str], taken: Set[str]) -> Changes:
    """What the lake holds against what was seen in the folder; ``taken`` has the keys of photos with a tombstone."""
    places = {layout.parse_base(key).sha256: key for keys in seen.values() for key in keys}
    absent = sorted(key for source in held for key in held[source] - seen[source])
    live = [(key, places.get(layout.parse_base(key).sha256)) for key in absent if key not in taken]
    moved = {key: place for key, place in live if place}
    return Changes(
        new=sorted(set(new) - set(moved.values())),
        moved=moved,
        gone=[key for key, place in live if not place],
        unfinished=[key for key in absent if key in taken],
    )


def too_much_gone(changes: Changes, held: Keys) -> str | None:
    """Why the lake must not follow: a folder that is not mounted, or half copied, looks like one that was emptied."""
    excess = []
    for source, keys in held.items():
        live, going = len(keys.difference(changes.unfinished)), len(keys.intersection(changes.gone))
        if 2 * going > live:
            excess.append(f"{going} of {live} photos of {source}")
    if not excess:
        return None
    return (
        f"more than half of a source is gone from the folder ({', '.join(excess)}): check that it is mounted and "
        "whole. Nothing was taken away; to give up so many photos, delete at most half of a source before each run"
    )


def tombstones(changes: Changes) -> list[Tombstone]:
    """The records of all that moved or is gone."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    moved = [Tombstone(key, "moved", now, place) for key, place in changes.moved.items()]
    return moved + [Tombstone(key, "gone", now) for key in changes.gone]


def _unread(unreadable: Mapping[str, int]) -> str | None:
    """Why the lake must not follow: a photo that cannot be read now looks like one that is gone."""
    some = [f"{count} in {source}" for source, count in unreadable.items() if count]
    if not some:
        return None
    return (
        f"something in the folder could not be read ({', '.join(some)}; the log of ingest names it), so nobody knows "
        "which photos are gone: make it readable, or delete it, and trigger the DAG again. Nothing was taken away"
    )


def _read_ingested(
    store: ObjectStore, run: str, sources: Sequence[str]
) -> tuple[dict[str, set[str]], list[str], dict[str, int]]:
    """The keys that `ingest` saw, by source; the new ones; and how much it could not read, by source.

    Raises CannotFollow where a later run read a source.
    """
    last = {source: read_json(store, layout.last_ingest(source))["run"] for source in sources}
    if later := next((other for other in last.values() if other != run), None):
        raise CannotFollow(
            f"the run {later!r} has read the folder after {run!r}: clear claim_lake and all that follows"
        )
    ingested = {source: read_json(store, layout.ingested(run, source)) for source in sources}
    seen = {source: set(ingested[source]["seen"]) for source in sources}
    new = [key for source in sources for key in ingested[source]["new"]]
    return seen, new, {source: ingested[source].get("unreadable", 0) for source in sources}


def _for_each(action: Callable[[str], None], keys: Iterable[str]) -> None:
    for _ in map_many(action, keys, threads=16):
        pass


def _log(changes: Changes, *, follow: bool, refusal: str | None) -> None:
    numbers, examples = _numbers(changes), _examples(changes)
    for kind, number in numbers.items():
        log.info("%s: %d%s", kind, number, f", such as {', '.join(examples[kind])}" if number else "")
    if changes.unfinished:
        log.info("%d photos that an earlier run took away are deleted now", len(changes.unfinished))
    if follow or not (changes.moved or changes.gone):
        return
    log.warning(
        "nothing is taken away. A moved photo is in the lake under both sources, and is not used where their labels "
        "differ; a gone one still trains. With the param `follow` this run would %s",
        f"fail: {refusal}" if refusal else f"take {len(changes.moved)} moved and {len(changes.gone)} gone photos away",
    )


def _numbers(changes: Changes) -> dict[str, int]:
    return {"new": len(changes.new), "moved": len(changes.moved), "gone": len(changes.gone)}


def _examples(changes: Changes) -> dict[str, list[str]]:
    moved = [f"{key} -> {place}" for key, place in list(changes.moved.items())[:EXAMPLES]]
    return {"new": changes.new[:EXAMPLES], "moved": moved, "gone": changes.gone[:EXAMPLES]}
