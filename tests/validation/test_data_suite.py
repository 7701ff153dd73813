"""The process itself, in its own environment, on drawn photos: one start, many comparisons."""

import subprocess
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.images.decoding import decode_pixels
from include.images.synthetic import draw_sample
from include.question import NEGATIVE, POSITIVE
from include.settings import ROOT, Settings
from include.validation import export
from include.validation.export import SIZE
from include.validation.runner import DATA_SUITE, VARIABLES, run_suite
from tests.models import QUESTION

CHECKS = {
    "label drift",
    "image property drift",
    "image dataset drift",
    "property-label correlation change",
    "heat map comparison",
    "outliers",
}
PER_SOURCE = 200
Compared = dict[str, dict[str, Any]]  # the result of each comparison
COMPARISONS = {
    "clean": ("train", "test"),
    "grown": ("older", "train"),
    "brighter": ("train", "brighter"),
    "dark positives": ("older", "dark positives"),
    "dark positives on test": ("train", "dark positives on test"),
    "many positives": ("train", "many positives"),
    "noise": ("train", "noise"),
    "tiny": ("train", "tiny"),
}


def darker_positives(pixels: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    positive = (rows["label"] == POSITIVE).to_numpy()
    return np.where(positive[:, None, None, None], pixels // 2, pixels)


def groups_of_drawings() -> tuple[np.ndarray, dict[str, pd.DataFrame]]:
    """The drawn sample as pixels, cut into groups, and planted variants of some of them."""
    drawn = [(source, body) for source in QUESTION.sources for body in draw_sample(source, count=PER_SOURCE)]
    pixels = [np.stack([decode_pixels(body, SIZE) for _, body in drawn])]
    rows = pd.DataFrame({"source": [source for source, _ in drawn], "row": range(len(drawn))})
    rows["label"] = rows["source"].map(QUESTION.label_of)
    order = rows.sample(frac=1, random_state=3)
    groups = {"test": order[:80], "train": order[160:], "older": order[160:600], "tiny": order[:5]}
    groups["many positives"] = pd.concat([order[:80][order[:80]["label"] == POSITIVE]] * 3 + [order[:80]])

    def plant(name: str, group: str, changed: np.ndarray) -> None:
        first = sum(map(len, pixels))
        groups[name] = groups[group].assign(row=range(first, first + len(changed)))
        pixels.append(changed.astype(np.uint8))

    def pixels_of(group: str) -> np.ndarray:
        return pixels[0][groups[group]["row"]]

    plant("brighter", "test", (pixels_of("test") * 1.25).clip(0, 255))
    plant("dark positives", "train", darker_positives(pixels_of("train"), groups["train"]))
    plant("dark positives on test", "test", darker_positives(pixels_of("test"), groups["test"]))
    noise = np.random.default_rng(0).integers(0, 256, (15, SIZE, SIZE, 3))
    plant("noise", "test", np.concatenate([noise, pixels_of("test")[15:]]))
    return np.concatenate(pixels), groups


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    folder, settings = tmp_path_factory.mktemp("suite"), Settings().validation
    pixels, groups = groups_of_drawings()
    np.save(folder / "pixels.npy", pixels)
    export.write_request(folder, groups, COMPARISONS, settings.limits)
    return run_suite(DATA_SUITE, folder, python=settings.python, seconds=600)["comparisons"]


def failed(comparison: dict[str, Any]) -> set[str]:
    return {check["check"] for check in comparison["checks"] if not check["passed"]}


@pytest.mark.parametrize("name", ["clean", "grown"])
def test_clean_photos_pass(compared: Compared, name: str) -> None:
    assert failed(compared[name]) == set()
    assert compared[name]["passed"]


def test_every_check_is_made_with_a_limit(compared: Compared) -> None:
    checks = compared["clean"]["checks"]
    assert {check["check"] for check in checks} == CHECKS
    assert all(check["limit"] > 0 and check["score"] is not None for check in checks)
    assert {check["group"] for check in checks} == {"all", POSITIVE, NEGATIVE}


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("brighter", "heat map comparison"),
        ("dark positives", "image property drift"),
        ("dark positives on test", "property-label correlation change"),
        ("many positives", "label drift"),
        ("noise", "outliers"),
    ],
)
def test_a_planted_change_fails(compared: Compared, name: str, check: str) -> None:
    assert not compared[name]["passed"]
    assert check in failed(compared[name])


def test_dark_positives_are_found_among_the_positives(compared: Compared) -> None:
    of_brightness = [check for check in compared["dark positives"]["checks"] if check["subject"] == "brightness"]
    drift = {check["group"]: check for check in of_brightness if check["check"] == "image property drift"}
    assert drift[POSITIVE]["score"] > 2 * drift[POSITIVE]["limit"]
    assert drift[NEGATIVE]["passed"]


def test_a_crashed_check_is_a_failed_check(compared: Compared) -> None:
    crashed = [check for check in compared["tiny"]["checks"] if check["crash"]]
    assert any("NotEnoughSamplesError" in check["crash"] for check in crashed)
    assert not compared["tiny"]["passed"]
    assert not any(check["passed"] for check in crashed)


def test_outliers_are_named_by_their_rows(compared: Compared) -> None:
    _, groups = groups_of_drawings()
    planted = set(groups["noise"]["row"][:15])
    assert planted <= set(compared["noise"]["outliers"]["sharpness"])


def test_plots_hold_shares_and_mean_pictures(compared: Compared) -> None:
    plots = compared["clean"]["plots"]
    brightness = plots["histograms"]["brightness"]["all"]
    assert sum(brightness["new"]) == pytest.approx(1, abs=1e-3)
    assert np.shape(plots["means"]["new"]) == (SIZE, SIZE)


def test_the_process_opens_no_connection() -> None:
    """Telemetry is off twice: by its variable, and because no socket can connect."""
    code = (
        "import include.validation.deepchecks_env.offline, socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "try: socket.create_connection(listener.getsockname())\n"
        "except PermissionError: sys.exit(7)"
    )
    ended = subprocess.run([Settings().validation.python, "-c", code], cwd=ROOT, check=False)
    assert ended.returncode == 7
    assert "DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY=True" in VARIABLES
