"""The task `validate`: the data checks before training, and whether the run may go on."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from include.dataset.manifest import digest_of, read_manifest, read_report, to_manifest
from include.dataset.steps import read_sample
from include.errors import ChecksCrashed, DatasetError
from include.ingestion.reviews import unknown_labels
from include.ingestion.snapshot import read_snapshot
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import to_json, write_json
from include.records import UPLOADS as FROM_USERS
from include.settings import Settings, Validation
from include.validation import export
from include.validation.page import render_page
from include.validation.results import CHAMPION, LABELS, TEST, UPLOADS, ComparisonResult, as_json, raise_if_stopped
from include.validation.runner import DATA_SUITE, run_suite

log = logging.getLogger(__name__)

COMPARISONS = {TEST: ("train", "test"), CHAMPION: ("champion", "train"), UPLOADS: ("train", "uploads")}


def validate(
    store: ObjectStore, run: str, settings: Settings, *, images_per_source: int, champion: str | None
) -> dict[str, str]:
    """Task: check the sampled photos; returns the state of each comparison. Safe to repeat.

    ``champion`` is the dataset of the champion, if there is one. Writes `validation.json` and `validation.html` under
    the run. Raises ValidationFailed when a comparison that stops has failed.
    """
    photos = read_sample(store, run, settings, images_per_source=images_per_source)
    manifest = to_manifest(photos, settings.question)
    results = run_comparisons(store, manifest, run, champion=champion, settings=settings.validation)
    write_json(store, layout.run_validation(run), as_json(results) | {"dataset": digest_of(manifest)})
    store.write(layout.run_validation_page(run), render_page(results))
    for result in results:
        log.info("%s: %s; %s", result.name, result.state, result.message or "no remark")
    raise_if_stopped(results, layout.run_validation_page(run))
    return {result.name: result.state for result in results}


def validate_version(store: ObjectStore, digest: str, settings: Settings, *, champion: str | None, folder: Path) -> str:
    """Check a published dataset version as the task does; writes into ``folder`` and leaves the lake unchanged.

    Returns a line per comparison and the path of the page. Raises ValidationFailed, DatasetError.
    """
    manifest, run = read_manifest(store, digest), read_report(store, digest)["run"]
    results = run_comparisons(store, manifest, run, champion=champion, settings=settings.validation)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "validation.html"
    page.write_bytes(render_page(results))
    (folder / "validation.json").write_bytes(to_json(as_json(results)))
    raise_if_stopped(results, str(page))
    lines = [f"{result.name:10}{result.state:15}{result.message}".rstrip() for result in results]
    return "\n".join([*lines, str(page)])


def run_comparisons(
    store: ObjectStore, manifest: pd.DataFrame, run: str, *, champion: str | None, settings: Validation
) -> list[ComparisonResult]:
    """All comparisons of a manifest, and the raw labels of the snapshot of its run."""
    groups, missing = _groups(store, manifest, champion)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sampled = {name: export.sample_rows(rows, photos=settings.photos) for name, rows in groups.items()}
        requested = {name: len(rows) for name, rows in sampled.items()}
        sampled = export.write_pixels(store, sampled, folder)
        missing |= _too_few(sampled, missing, settings.min_photos)
        wanted = {name: pair for name, pair in COMPARISONS.items() if name not in missing}
        export.write_request(folder, sampled, wanted, settings.limits)
        result = _run(folder, settings) if wanted else {}
    gone = requested["champion"] - len(sampled["champion"])
    notes = (
        {CHAMPION: f"{gone} of {requested['champion']} photos of the champion are gone from the lake"} if gone else {}
    )
    comparisons = [_result(name, missing, notes, result, sampled, settings) for name in COMPARISONS]
    return [_check_raw_labels(store, run, settings), *comparisons]


def _groups(store: ObjectStore, manifest: pd.DataFrame, champion: str | None) -> tuple[export.Groups, dict[str, str]]:
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
    groups = {"train": train, "test": manifest[manifest["split"] == "test"], "uploads": train[new]}
    return groups | {"champion": before[before["split"] == "train"]}, missing


def _too_few(groups: export.Groups, missing: dict[str, str], least: int) -> dict[str, str]:
    fewest = {name: min(len(groups[group]) for group in pair) for name, pair in COMPARISONS.items()}
    return {
        name: f"{count} photos are too few; CAT_VALIDATION__MIN_PHOTOS is {least}"
        for name, count in fewest.items()
        if name not in missing and count < least
    }


def _run(folder: Path, settings: Validation) -> dict[str, Any]:
    try:
        return run_suite(DATA_SUITE, folder, python=settings.python, seconds=settings.seconds)
    except ChecksCrashed as error:
        return {"crash": str(error)}


def _result(
    name: str,
    missing: dict[str, str],
    notes: dict[str, str],
    result: dict[str, Any],
    groups: export.Groups,
    settings: Validation,
) -> ComparisonResult:
    stops = name in settings.stopping
    reference, new = COMPARISONS[name]
    photos = {"reference": len(groups[reference]), "new": len(groups[new])}
    if name in missing:
        return ComparisonResult(name, stops, None, missing[name], photos)
    if "crash" in result:
        return ComparisonResult(name, stops, False, f"the checks crashed: {result['crash']}", photos)
    outcome = result["comparisons"][name]
    keys = pd.Series(groups[new]["key"].to_numpy(), index=groups[new]["row"])
    outliers = {about: [str(keys[row]) for row in rows] for about, rows in outcome["outliers"].items()}
    if name == UPLOADS:
        outcome["plots"].pop("means")  # no picture made of uploads leaves their own folder
    note, checks, plots = notes.get(name, ""), outcome["checks"], outcome["plots"]
    return ComparisonResult(name, stops, outcome["passed"], note, photos, checks, outliers, plots)


def _check_raw_labels(store: ObjectStore, run: str, settings: Validation) -> ComparisonResult:
    unknown = unknown_labels(store, *read_snapshot(store, run))
    problems = [f"{row['key']} has the {row['field']} {row['value']!r}, not one of {row['known']}" for row in unknown]
    note = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
    return ComparisonResult(LABELS, LABELS in settings.stopping, not unknown, note)
