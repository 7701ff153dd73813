"""The task `validate`: three comparisons and a look at raw labels, and whether the run may go on to train."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from include.dataset.manifest import read_manifest, to_manifest
from include.errors import DatasetError
from include.ingestion.reviews import unknown_labels
from include.ingestion.snapshot import read_snapshot
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_table, write_json
from include.records import UPLOADS as FROM_USERS
from include.settings import Settings, Validation
from include.validation import export, results
from include.validation.page import render_page
from include.validation.results import CHAMPION, LABELS, TEST, UPLOADS, ComparisonResult
from include.validation.runner import PHOTOS, SuiteCrashed, run_suite

log = logging.getLogger(__name__)

COMPARISONS = {TEST: ("train", "test"), CHAMPION: ("champion", "train"), UPLOADS: ("train", "uploads")}


def validate(store: ObjectStore, run: str, *, champion: str | None) -> dict[str, str]:
    """Task: judge the photos that `split` chose; returns the state of each comparison. Safe to repeat.

    ``champion`` is the dataset of the model that serves, if there is one. Leaves `validation.json` and
    `validation.html` under the run. Raises ValidationFailed when a comparison that stops has failed.
    """
    manifest = to_manifest(read_table(store, layout.run_table(run, "split")))
    found = compare_splits(store, manifest, run, champion=champion, settings=Settings().validation)
    write_json(store, layout.run_json(run, "validation"), as_json(found))
    store.write(layout.run_html(run, "validation"), render_page(found))
    for one in found:
        log.info(
            "%s: %s %s", one.name, one.state, results.describe_comparison(one) if one.passed is False else one.note
        )
    results.raise_if_stopped(found, layout.run_html(run, "validation"))
    return {one.name: one.state for one in found}


def as_json(found: list[ComparisonResult]) -> dict[str, Any]:
    return {"passed": not any(one.stops and one.passed is False for one in found)} | {
        "comparisons": [one.as_json() for one in found]
    }


def compare_splits(
    store: ObjectStore, manifest: pd.DataFrame, run: str, *, champion: str | None, settings: Validation
) -> list[ComparisonResult]:
    """All findings about a manifest and the snapshot of its run."""
    splits, missing = _sides(store, manifest, champion)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        chosen = {name: export.sample_rows(rows, photos=settings.photos) for name, rows in splits.items()}
        asked = {name: len(rows) for name, rows in chosen.items()}
        chosen = export.write_pixels(store, chosen, folder)
        missing |= _too_few(chosen, missing, settings.min_photos)
        made = [{"name": name, "reference": first, "new": second} for name, (first, second) in COMPARISONS.items()]
        made = [one for one in made if one["name"] not in missing]
        export.write_request(folder, chosen, made, settings.limits)
        result = _run(folder, settings) if made else {}
    labels = _check_raw_labels(store, run, settings)
    gone = asked["champion"] - len(chosen["champion"])
    told = {CHAMPION: f"{gone} of {asked['champion']} photos of the champion are gone from the lake"} if gone else {}
    return [labels, *(_finding(name, missing, told, result, chosen, settings) for name in COMPARISONS)]


def _sides(store: ObjectStore, manifest: pd.DataFrame, champion: str | None) -> tuple[export.Splits, dict[str, str]]:
    """Photos by the names that COMPARISONS uses, and why a comparison cannot be made."""
    before, missing = manifest.iloc[:0], {}
    try:
        if champion is None:
            missing[CHAMPION] = "there is no champion yet"
        else:
            before = read_manifest(store, champion)
    except DatasetError as error:
        missing[CHAMPION] = f"the champion's photos are not known: {error}"
    train = manifest[manifest["split"] == "train"]
    new = (train["source"] == FROM_USERS) & ~train["key"].isin(before["key"])
    splits = {"train": train, "test": manifest[manifest["split"] == "test"], "uploads": train[new]}
    return splits | {"champion": before[before["split"] == "train"]}, missing


def _too_few(splits: export.Splits, missing: dict[str, str], least: int) -> dict[str, str]:
    return {
        name: f"{min(len(splits[split]) for split in two)} photos say too little; CAT_VALIDATION__MIN_PHOTOS is {least}"
        for name, two in COMPARISONS.items()
        if name not in missing and min(len(splits[split]) for split in two) < least
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
    splits: export.Splits,
    settings: Validation,
) -> ComparisonResult:
    stops = name in settings.stopping
    first, second = COMPARISONS[name]
    photos = {"reference": len(splits[first]), "new": len(splits[second])}
    if name in missing:
        return ComparisonResult(name, stops, None, missing[name], photos)
    if "crash" in result:
        return ComparisonResult(name, stops, False, f"the checks crashed: {result['crash']}", photos)
    found = result["comparisons"][name]
    keys = pd.Series(splits[second]["key"].to_numpy(), index=splits[second]["row"])
    outliers = {about: [str(keys[row]) for row in rows] for about, rows in found["outliers"].items()}
    if name == UPLOADS:
        found["plots"].pop("means")  # no picture made of uploads leaves their own folder
    return ComparisonResult(
        name, stops, found["passed"], told.get(name, ""), photos, found["figures"], outliers, found["plots"]
    )


def _check_raw_labels(store: ObjectStore, run: str, settings: Validation) -> ComparisonResult:
    unknown = unknown_labels(store, *read_snapshot(store, run))
    told = [f"{one['key']} has the {one['field']} {one['value']!r}, not one of {one['known']}" for one in unknown]
    note = "; ".join(told[:3]) + (f"; and {len(told) - 3} more" if len(told) > 3 else "")
    return ComparisonResult(LABELS, LABELS in settings.stopping, not unknown, note)
