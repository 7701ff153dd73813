"""The task `validate`: three comparisons and a look at raw labels, and whether the run may go on to train."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from include.data.dataset import read_manifest, to_manifest
from include.data.reviews import unknown_labels
from include.data.snapshot import read_snapshot
from include.data.validation import exporting, findings
from include.data.validation.findings import CHAMPION, LABELS, TEST, UPLOADS, Finding
from include.data.validation.page import draw_page
from include.data.validation.running import PHOTOS, SuiteCrashed, run_suite
from include.errors import DatasetError
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_table, write_json
from include.records import UPLOADS as FROM_USERS
from include.settings import Settings, Validation

log = logging.getLogger(__name__)

COMPARISONS = {TEST: ("train", "test"), CHAMPION: ("champion", "train"), UPLOADS: ("train", "uploads")}


def validate(store: ObjectStore, run: str, *, champion: str | None) -> dict[str, str]:
    """Task: judge the photos that `split` chose; returns the state of each comparison. Safe to repeat.

    ``champion`` is the dataset of the model that serves, if there is one. Leaves `validation.json` and
    `validation.html` under the run. Raises ValidationFailed when a comparison that stops has failed.
    """
    manifest = to_manifest(read_table(store, layout.run_table(run, "split")))
    found = judge(store, manifest, run, champion=champion, settings=Settings().validation)
    write_json(store, layout.run_json(run, "validation"), as_json(found))
    store.write(layout.run_html(run, "validation"), draw_page(found))
    for one in found:
        log.info("%s: %s %s", one.name, one.state, findings.sentence(one) if one.passed is False else one.note)
    findings.stop(found, layout.run_html(run, "validation"))
    return {one.name: one.state for one in found}


def as_json(found: list[Finding]) -> dict[str, Any]:
    return {"passed": not any(one.stops and one.passed is False for one in found)} | {
        "comparisons": [one.as_json() for one in found]
    }


def judge(
    store: ObjectStore, manifest: pd.DataFrame, run: str, *, champion: str | None, settings: Validation
) -> list[Finding]:
    """All findings about a manifest and the snapshot of its run."""
    sides, missing = _sides(store, manifest, champion)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        chosen = {name: exporting.sample(rows, photos=settings.photos) for name, rows in sides.items()}
        asked = {name: len(rows) for name, rows in chosen.items()}
        chosen = exporting.write_pixels(store, chosen, folder)
        missing |= _too_few(chosen, missing, settings.min_photos)
        made = [{"name": name, "reference": first, "new": second} for name, (first, second) in COMPARISONS.items()]
        made = [one for one in made if one["name"] not in missing]
        exporting.write_request(folder, chosen, made, settings.limits)
        result = _run(folder, settings) if made else {}
    labels = _judge_labels(store, run, settings)
    gone = asked["champion"] - len(chosen["champion"])
    told = {CHAMPION: f"{gone} of {asked['champion']} photos of the champion are gone from the lake"} if gone else {}
    return [labels, *(_finding(name, missing, told, result, chosen, settings) for name in COMPARISONS)]


def _sides(store: ObjectStore, manifest: pd.DataFrame, champion: str | None) -> tuple[exporting.Sides, dict[str, str]]:
    """Photos by the names that COMPARISONS uses, and why a comparison cannot be made."""
    before, missing = manifest.iloc[:0], {}
    try:
        if champion is None:
            missing[CHAMPION] = "there is no champion yet"
        else:
            before = read_manifest(store, champion)
    except DatasetError as error:
        missing[CHAMPION] = f"the champion's photos are not known: {error}"
    train = manifest[manifest["side"] == "train"]
    new = (train["source"] == FROM_USERS) & ~train["key"].isin(before["key"])
    sides = {"train": train, "test": manifest[manifest["side"] == "test"], "uploads": train[new]}
    return sides | {"champion": before[before["side"] == "train"]}, missing


def _too_few(sides: exporting.Sides, missing: dict[str, str], least: int) -> dict[str, str]:
    return {
        name: f"{min(len(sides[side]) for side in two)} photos say too little; CAT_VALIDATION__MIN_PHOTOS is {least}"
        for name, two in COMPARISONS.items()
        if name not in missing and min(len(sides[side]) for side in two) < least
    }


def _run(folder: Path, settings: Validation) -> dict[str, Any]:
    try:
        return run_suite(PHOTOS, folder, python=settings.python, seconds=settings.seconds)
    except SuiteCrashed as error:
        return {"crash": str(error)}


def _finding(
    name: str,
    missing: dict[str, str],
    told: dict[str, str],
    result: dict[str, Any],
    sides: exporting.Sides,
    settings: Validation,
) -> Finding:
    stops = name in settings.stopping
    first, second = COMPARISONS[name]
    photos = {"reference": len(sides[first]), "new": len(sides[second])}
    if name in missing:
        return Finding(name, stops, None, missing[name], photos)
    if "crash" in result:
        return Finding(name, stops, False, f"the checks crashed: {result['crash']}", photos)
    found = result["comparisons"][name]
    keys = pd.Series(sides[second]["key"].to_numpy(), index=sides[second]["row"])
    outliers = {about: [str(keys[row]) for row in rows] for about, rows in found["outliers"].items()}
    if name == UPLOADS:
        found["plots"].pop("means")  # no picture made of uploads leaves their own folder
    return Finding(name, stops, found["passed"], told.get(name, ""), photos, found["figures"], outliers, found["plots"])


def _judge_labels(store: ObjectStore, run: str, settings: Validation) -> Finding:
    unknown = unknown_labels(store, *read_snapshot(store, run))
    told = [f"{one['key']} has the {one['field']} {one['value']!r}, not one of {one['known']}" for one in unknown]
    note = "; ".join(told[:3]) + (f"; and {len(told) - 3} more" if len(told) > 3 else "")
    return Finding(LABELS, LABELS in settings.stopping, not unknown, note)
