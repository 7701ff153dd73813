"""The rates of the whole gate, by simulation from the scores of real models."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from include.evaluation.metrics import Bools, Floats
from include.promotion.differences import PER, brier_losses
from include.promotion.gate import Limits, decide
from include.promotion.gate_photos import GatePhotos
from include.records import Decision, ModelVersion, Rule, VersionScores

SOUND = Rule("each picture is on one split", "passed", "simulated")
RUNS_OF_DRIFT = 40
TRIES = 40  # at a promotion, before the simulation goes on without it
Worsen = Callable[[np.random.Generator, Floats, Bools, float], Floats]


@dataclass(frozen=True)
class World:
    """The test photos of a lake, and the scores of models that are equal in truth: (models, photos).

    A new model takes the score of each photo from a random one of them, so that no model is better than another but by
    chance, and they differ as the real ones do.
    """

    photos: GatePhotos
    models: NDArray[np.float64]
    limits: Limits

    def redraw(self, draw: np.random.Generator) -> "World":
        """Another lake with as many test photos, drawn from these."""
        rows = draw.integers(0, len(self.photos.is_positive), len(self.photos.is_positive))
        slices = {name: chosen[rows] for name, chosen in self.photos.slices.items()}
        photos = GatePhotos(self.photos.is_positive[rows], self.photos.for_floors[rows], slices)
        return replace(self, photos=photos, models=self.models[:, rows])

    def model(self, draw: np.random.Generator) -> Floats:
        count, photos = self.models.shape
        return self.models[draw.integers(0, count, photos), np.arange(photos)]

    def decide(self, challenger: Floats, champion: Floats, reference: Floats) -> Decision:
        versions = zip("321", (challenger, champion, reference), strict=True)
        scores = [VersionScores(ModelVersion(name, name), probability, 0.5) for name, probability in versions]
        return decide(self.photos, *scores, about_photos=SOUND, limits=self.limits)


def turn_a_few(draw: np.random.Generator, probability: Floats, positive: Bools, loss: float) -> Floats:
    """Worse by ``loss`` in truth, in sure errors per 1,000 photos: some photos get the opposite verdict."""
    gain = (brier_losses(positive, 1 - probability) - brier_losses(positive, probability)).mean()
    turned = draw.random(len(probability)) < loss / PER / gain
    return np.where(turned, 1 - probability, probability)


def doubt_all(_: np.random.Generator, probability: Floats, positive: Bools, loss: float) -> Floats:
    """Worse by ``loss``: each P(positive) lies nearer to the wrong answer, by the same share of the way."""

    def blend(share: float) -> Floats:
        return np.asarray(probability + share * (~positive - probability))

    def excess(share: float) -> float:
        lost = brier_losses(positive, blend(share)).mean() - brier_losses(positive, probability).mean()
        return float(PER * lost - loss)

    return probability if loss <= 0 else blend(float(brentq(excess, 0, 1)))


KINDS: dict[str, Worsen] = {"a few photos turned": turn_a_few, "all photos less sure": doubt_all}


def measure_rates(world: World, *, chains: int, challengers: int, promotions: int, seed: int) -> dict[str, Any]:
    """The share of outcomes for each kind of challenger, each from ``chains`` lakes after so many promotions; and of
    the drift, how much worse than the first champion the last one is, in margins, once for each chain.
    """
    run = partial(_chain, world, challengers=challengers, promotions=promotions)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:  # TensorFlow may have threads by now
        results = list(pool.map(run, range(seed, seed + chains)))
    outcomes = {
        kind: [outcome for result in results for outcome in result[kind]] for kind in results[0] if kind != "drift"
    }
    drift = {kind: np.array([result["drift"][kind] for result in results]) for kind in KINDS}
    return {"outcomes": {kind: shares(found) for kind, found in outcomes.items()}, "drift": drift}


def shares(outcomes: Sequence[str]) -> dict[str, float]:
    return {name: outcomes.count(name) / len(outcomes) for name in ("better", "close call", "not better")}


def _chain(world: World, seed: int, *, challengers: int, promotions: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    world = world.redraw(draw)
    champion, reference = _promote(world, draw, promotions)
    result: dict[str, Any] = {"equal": [], "drift": {}}
    for _ in range(challengers):
        result["equal"].append(world.decide(world.model(draw), champion, reference).outcome)
        for kind, worsen in KINDS.items():
            worse = worsen(draw, world.model(draw), world.photos.is_positive, 2 * world.limits.margin)
            name = f"worse by twice the margin, {kind}"
            result.setdefault(name, []).append(world.decide(worse, champion, reference).outcome)
    result["drift"] = {kind: _drift(world, draw, worsen) for kind, worsen in KINDS.items()}
    return result


def _promote(world: World, draw: np.random.Generator, promotions: int) -> tuple[Floats, Floats]:
    """Champion and reference after so many promotions of challengers that are equal in truth."""
    champion = reference = world.model(draw)
    for _ in range(promotions):
        for _ in range(TRIES):
            challenger = world.model(draw)
            decision = world.decide(challenger, champion, reference)
            if decision.outcome == "better":
                champion = challenger
                reference = challenger if decision.next_reference == decision.challenger else reference
                break
    return champion, reference


def _drift(world: World, draw: np.random.Generator, worsen: Worsen) -> float:
    """Each challenger is a quarter of the margin worse than the champion of its time; the true loss in the end."""
    champion = reference = world.model(draw)
    lost = 0.0
    for _ in range(RUNS_OF_DRIFT):
        loss = lost + world.limits.margin / 4
        challenger = worsen(draw, world.model(draw), world.photos.is_positive, loss)
        decision = world.decide(challenger, champion, reference)
        if decision.outcome == "better":
            champion, lost = challenger, loss
            reference = challenger if decision.next_reference == decision.challenger else reference
    return lost / world.limits.margin
