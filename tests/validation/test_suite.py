"""The process itself, in its own environment, over drawn pictures: started once, asked about many comparisons."""

import subprocess

import numpy as np
import pandas as pd
import pytest

from include.errors import BadSetting
from include.images.decoding import decode_pixels
from include.images.synthetic import draw_sample
from include.records import SOURCES, label_of
from include.settings import ROOT, Settings
from include.validation import export
from include.validation.export import SIZE
from include.validation.runner import PHOTOS, VARIABLES, SuiteCrashed, run_suite

CHECKS = {
    "label drift",
    "image property drift",
    "image dataset drift",
    "property-label correlation change",
    "heat map comparison",
    "outliers",
}
PER_SOURCE = 200
COMPARISONS = {
    "clean": ("train", "test"),
    "grown": ("older", "train"),
    "brighter": ("train", "brighter"),
    "dark cats": ("older", "dark cats"),
    "dark cats on test": ("train", "dark cats on test"),
    "many cats": ("train", "many cats"),
    "noise": ("train", "noise"),
    "tiny": ("train", "tiny"),
}


def darker_cats(pixels, rows: pd.DataFrame):
    cats = (rows["label"] == "cat").to_numpy()
    return np.where(cats[:, None, None, None], pixels // 2, pixels)


def sides_of_drawings() -> tuple[np.ndarray, dict[str, pd.DataFrame]]:
    """The drawn sample as pixels, cut into sides, and planted variants of some of them."""
    drawn = [(source, body) for source in SOURCES for body in draw_sample(source, count=PER_SOURCE)]
    pixels = [np.stack([decode_pixels(body, SIZE) for _, body in drawn])]
    rows = pd.DataFrame({"source": [source for source, _ in drawn], "row": range(len(drawn))})
    rows["label"] = rows["source"].map(label_of)
    order = rows.sample(frac=1, random_state=3)
    splits = {"test": order[:80], "train": order[160:], "older": order[160:600], "tiny": order[:5]}
    splits["many cats"] = pd.concat([order[:80][order[:80]["label"] == "cat"]] * 3 + [order[:80]])

    def plant(name: str, split: str, changed: np.ndarray) -> None:
        splits[name] = splits[split].assign(row=range(sum(map(len, pixels)), sum(map(len, pixels)) + len(changed)))
        pixels.append(changed.astype(np.uint8))

    def of(split: str) -> np.ndarray:
        return pixels[0][splits[split]["row"]]

    plant("brighter", "test", (of("test") * 1.25).clip(0, 255))
    plant("dark cats", "train", darker_cats(of("train"), splits["train"]))
    plant("dark cats on test", "test", darker_cats(of("test"), splits["test"]))
    noise = np.random.default_rng(0).integers(0, 256, (15, SIZE, SIZE, 3))
    plant("noise", "test", np.concatenate([noise, of("test")[15:]]))
    return np.concatenate(pixels), splits


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> dict:
    folder, settings = tmp_path_factory.mktemp("suite"), Settings().validation
    pixels, splits = sides_of_drawings()
    np.save(folder / "pixels.npy", pixels)
    asked = [{"name": name, "reference": first, "new": second} for name, (first, second) in COMPARISONS.items()]
    export.write_request(folder, splits, asked, settings.limits)
    return run_suite(PHOTOS, folder, python=settings.python, seconds=600)["comparisons"]


def failed(comparison: dict) -> set[str]:
    return {figure["check"] for figure in comparison["figures"] if not figure["passed"]}


@pytest.mark.parametrize("name", ["clean", "grown"])
def test_clean_photos_pass(compared, name):
    assert failed(compared[name]) == set()
    assert compared[name]["passed"]


def test_every_check_is_made_with_a_limit(compared):
    figures = compared["clean"]["figures"]
    assert {figure["check"] for figure in figures} == CHECKS
    assert all(figure["limit"] > 0 and figure["score"] is not None for figure in figures)
    assert {figure["group"] for figure in figures} == {"all", "cat", "not_cat"}


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("brighter", "heat map comparison"),
        ("dark cats", "image property drift"),
        ("dark cats on test", "property-label correlation change"),
        ("many cats", "label drift"),
        ("noise", "outliers"),
    ],
)
def test_a_planted_change_fails(compared, name, check):
    assert not compared[name]["passed"]
    assert check in failed(compared[name])


def test_dark_cats_are_found_among_the_cats(compared):
    figures = [one for one in compared["dark cats"]["figures"] if one["subject"] == "brightness"]
    drift = {one["group"]: one for one in figures if one["check"] == "image property drift"}
    assert drift["cat"]["score"] > 2 * drift["cat"]["limit"]
    assert drift["not_cat"]["passed"]


def test_a_crashed_check_is_a_failed_check(compared):
    crashes = [figure["crash"] for figure in compared["tiny"]["figures"] if figure["crash"]]
    assert any("NotEnoughSamplesError" in crash for crash in crashes)
    assert not compared["tiny"]["passed"]
    assert all(not figure["passed"] for figure in compared["tiny"]["figures"] if figure["crash"])


def test_outliers_are_named_by_their_rows(compared):
    _, splits = sides_of_drawings()
    planted = set(splits["noise"]["row"][:15])
    assert planted <= set(compared["noise"]["outliers"]["sharpness"])


def test_plots_hold_shares_and_mean_pictures(compared):
    plots = compared["clean"]["plots"]
    brightness = plots["histograms"]["brightness"]["all"]
    assert sum(brightness["new"]) == pytest.approx(1, abs=1e-3)
    assert np.shape(plots["means"]["new"]) == (SIZE, SIZE)


def test_the_process_opens_no_connection():
    """Telemetry is off twice: by its variable, and because no socket connects."""
    code = (
        "import include.validation.deepchecks_env.offline, socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "try: socket.create_connection(listener.getsockname())\n"
        "except PermissionError: sys.exit(7)"
    )
    done = subprocess.run([Settings().validation.python, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 7
    assert "DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY=True" in VARIABLES


def script(tmp_path, text: str):
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("text", "told"), [("echo torn >&2; exit 3", "code 3.*torn"), ("exit 0", "code 0")])
def test_a_process_without_a_result_has_crashed(tmp_path, text, told):
    with pytest.raises(SuiteCrashed, match=told):
        run_suite(PHOTOS, tmp_path, python=script(tmp_path, text), seconds=60)


def test_a_process_that_takes_too_long_is_killed(tmp_path):
    with pytest.raises(SuiteCrashed, match="code -9"):
        run_suite(PHOTOS, tmp_path, python=script(tmp_path, "exec sleep 300"), seconds=0.5)


def test_a_missing_environment_names_the_cure(tmp_path):
    with pytest.raises(BadSetting, match="make setup"):
        run_suite(PHOTOS, tmp_path, python=tmp_path / "nowhere", seconds=60)
