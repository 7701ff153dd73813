"""Real models for the gate to decide about: some that are equal in truth, and some with planted weaknesses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.measurement import say
from bench.question import QUESTION, SOURCES
from include.dataset.examples import Examples, is_positive, load_examples
from include.dataset.splits import fold_of
from include.evaluation.calibration import fit_decision_rule
from include.evaluation.metrics import Floats, positive_probability
from include.lake.local import LocalStore
from include.settings import EPOCHS, Settings
from include.training.checkpoints import Checkpoints
from include.training.fit import fit, score
from include.training.head import fit_head, out_of_fold_logits, score_embeddings
from include.training.hyperparameters import Hyperparameters
from include.training.pixel_cache import load_pixels
from include.training.plan import from_scratch

Rows = NDArray[np.bool_]
BASE = "all train photos"
TURNED = (0.1, 0.3)  # shares of the labels of one source
FEW = (0.05, 0.01)  # shares of the train photos


@dataclass(frozen=True)
class Trainer:
    """Trains heads as a run of ``retrain`` does, with the default hyperparameters, and scores the test photos."""

    manifest: pd.DataFrame
    examples: Examples
    settings: Settings

    def rows(self, split: str) -> Rows:
        return (self.manifest["split"] == split).to_numpy(bool)

    def train(self, rows: Rows, *, allowed: NDArray[np.float32] | None = None) -> Floats:
        """P(positive) of the test photos, by a model that learned from these ``rows`` of the manifest.

        ``allowed`` replaces the classes that each photo may have: labels that were turned.
        """
        examples = self.examples if allowed is None else replace(self.examples, allowed=allowed)
        head = self._fit(examples.take(rows), examples.take(self.rows("val")))
        fitted = rows | self.rows("val")
        folds = np.array([fold_of(name) for name in self.manifest["sha256"][fitted]])
        logits = out_of_fold_logits(examples.take(fitted), folds, lambda part: self._fit(part, None))
        test = examples.take(self.rows("test"))
        scores = score_embeddings(head, test.embeddings)
        return _probability(scores, (examples.positive[fitted], logits), self.settings)

    def _fit(self, train: Examples, val: Examples | None):
        penalty, epochs, seed = self.settings.l2_penalty, self.settings.epochs, self.settings.seed
        return fit_head(train, val, Hyperparameters(), l2_penalty=penalty, epochs=epochs, seed=seed)


def open_trainer(store: LocalStore, manifest: pd.DataFrame, settings: Settings) -> Trainer:
    return Trainer(manifest, load_examples(store, manifest, QUESTION, settings.embedding_cache), settings)


def equal_models(trainer: Trainer, *, count: int, share: float, seed: int) -> NDArray[np.float64]:
    """Scores of models that each learned from another random share of the train photos: (count, test photos).

    None of them is better than another in truth: they differ by the draw alone.
    """
    draw, models = np.random.default_rng(seed), []
    for number in range(count):
        say(f"training on {share:.0%} of the train photos, {number + 1} of {count}")
        models.append(trainer.train(_some(draw, trainer.rows("train"), share)))
    return np.stack(models)


def scratch_models(
    store: LocalStore, manifest: pd.DataFrame, settings: Settings, *, seeds: Sequence[int], folder: Path
) -> NDArray[np.float64]:
    """Scores of networks trained from nothing that differ by their seed alone: (seeds, test photos)."""
    pixels, models = load_pixels(store, manifest, size=settings.image_size), []
    val, test = ((manifest["split"] == split).to_numpy(bool) for split in ("val", "test"))
    for seed in seeds:
        say(f"training `scratch` with the seed {seed}")
        job = from_scratch(settings.model_copy(update={"seed": seed}), epochs=EPOCHS["scratch"])
        network = fit(pixels, manifest, job, checkpoints=Checkpoints(folder / str(seed)))
        of_val, of_test = (score(network, pixels.subset(rows), manifest[rows], QUESTION) for rows in (val, test))
        models.append(_probability(of_test, (is_positive(manifest[val]), of_val), settings))
    return np.stack(models)


def planted_models(trainer: Trainer, *, seed: int) -> Iterator[tuple[str, Floats]]:
    """Models with a name each; the first, BASE, has no weakness."""
    draw, train = np.random.default_rng(seed), trainer.rows("train")
    say(f"training on {BASE}")
    yield BASE, trainer.train(train)
    for share in FEW:
        say(f"training on {share:.0%} of the train photos")
        yield f"{share:.0%} of the train photos", trainer.train(_some(draw, train, share))
    for source in SOURCES:
        for share in TURNED:
            say(f"turning {share:.0%} of the labels of {source}")
            allowed = turn_labels(trainer, _some(draw, train & _of(trainer, source), share), source)
            yield f"{share:.0%} of {source} turned", trainer.train(train, allowed=allowed)


def turn_labels(trainer: Trainer, rows: Rows, source: str) -> NDArray[np.float32]:
    """The classes that each photo may have, with these photos of a source as photos of the other answer."""
    (positive,) = QUESTION.positive
    other = QUESTION.negative_sources[0] if source == positive else positive
    allowed = trainer.examples.allowed.copy()
    allowed[rows] = 0
    allowed[rows, SOURCES.index(other)] = 1
    return allowed


def _probability(logits: NDArray[np.float32], known: tuple[Rows, NDArray[np.float32]], settings: Settings) -> Floats:
    """P(positive) from logits, by the rule that is fitted to ``known`` labels and logits."""
    options = {name: getattr(settings, name) for name in ("precision_floor", "sure_from")}
    rule = fit_decision_rule(*known, QUESTION.positive_classes, rule=settings.threshold_rule, **options)
    return positive_probability(logits, rule)


def _of(trainer: Trainer, source: str) -> Rows:
    return (trainer.manifest["source"] == source).to_numpy(bool)


def _some(draw: np.random.Generator, rows: Rows, share: float) -> Rows:
    """A random share of the rows that are true."""
    places = np.flatnonzero(rows)
    chosen = np.zeros(len(rows), bool)
    chosen[draw.choice(places, round(share * len(places)), replace=False)] = True
    return chosen
