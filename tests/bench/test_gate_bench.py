"""The simulation of the gate on scores with known answers, and the whole bench on a few drawings."""

from pathlib import Path

import numpy as np
import pytest

from bench import gate
from bench.gate_simulation import KINDS, World, doubt_all, measure_rates, shares, turn_a_few
from include.promotion.comparison import limits_of
from include.promotion.differences import brier_losses
from include.promotion.gate_photos import GatePhotos
from include.settings import Settings

COUNT = 2000
POSITIVE = np.arange(COUNT) % 4 == 0
SURE = np.where(POSITIVE, 0.99, 0.01)


def lost(probability: np.ndarray) -> float:
    return float(1000 * (brier_losses(POSITIVE, probability) - brier_losses(POSITIVE, SURE)).mean())


@pytest.mark.parametrize("loss", [0.0, 1.0, 20.0])
def test_a_planted_weakness_costs_what_it_should(loss: float) -> None:
    draw = np.random.default_rng(1)
    assert lost(doubt_all(draw, SURE, POSITIVE, loss)) == pytest.approx(loss, abs=1e-3)
    drawn = [lost(turn_a_few(draw, SURE, POSITIVE, loss)) for _ in range(300)]
    assert np.mean(drawn) == pytest.approx(loss, rel=0.1, abs=1e-6)
    assert set(KINDS.values()) == {doubt_all, turn_a_few}


@pytest.mark.slow
def test_rates_are_shares_and_drift_is_bounded() -> None:
    noise = np.random.default_rng(2).normal(0, 0.01, (3, COUNT))
    photos = GatePhotos(POSITIVE, np.ones(COUNT, bool), {"cats": POSITIVE})
    settings = Settings()
    limits = limits_of(settings.retrain_params, settings, photos=COUNT)
    world = World(photos, np.clip(SURE + noise, 0.001, 0.999), limits)
    rates = measure_rates(world, chains=2, challengers=2, promotions=2, seed=3)
    outcomes = rates["outcomes"]
    assert outcomes["equal"] == {"better": 1, "close call": 0, "not better": 0}
    for kind in KINDS:
        assert outcomes[f"worse by twice the margin, {kind}"]["better"] == 0
        assert 0 <= rates["drift"][kind].max() <= 1.5
    assert shares(["better", "close call", "better", "not better"]) == {
        "better": 0.5,
        "close call": 0.25,
        "not better": 0.25,
    }


def test_a_weaker_model_shows_in_every_measure() -> None:
    weaker = SURE.copy()
    weaker[::50] = 1 - weaker[::50]
    found = gate.shows(POSITIVE, weaker, SURE)
    assert all(z > 2 for z in found)
    assert gate.shows(POSITIVE, SURE, SURE)[2:] == [0, 0, 0]


@pytest.mark.slow
def test_the_whole_bench_writes_its_page(tmp_path: Path) -> None:
    page = tmp_path / "gate.md"
    gate.main(["--models", "2", "--shares", "0.5", "--chains", "2", "--promotions", "1", "--out", str(page)])
    text = page.read_text()
    for part in ("## The margin", "## Rates", "## Real models", "## Why the Brier score", "| 30% of dogs turned |"):
        assert part in text
    assert "these results say nothing about photos" in text
