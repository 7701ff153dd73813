"""The product's explanations, simpler ones and SHAP's partition explainer: what hiding the places that they name costs.

python -m bench.explanations --photos FOLDER [--help]

The rows of the partition explainer need shap, which the project does not: `.venv/bin/uv pip install shap==0.51.0`.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from bench.composites import draw_composite, is_in_quarter
from bench.covering import Photo, blur, cover, mean_colour
from bench.document import table
from bench.measuring import say
from bench.photos import check_sides, list_photos
from bench.shares import WAYS, Shares, compare_with_shapley
from include.backbone import SIZE
from include.backbone.features import Graph, features, freeze
from include.dataset.examples import Examples, allowed_classes
from include.evaluation.metrics import positive_log_odds
from include.images.decoding import decode_pixels
from include.records import SOURCES
from include.registry.explanation import Explainer, Floats, explain_by
from include.settings import Settings
from include.training.head import build_served_network, fit_head
from include.training.hyperparameters import Hyperparameters

HIDDEN = 10  # places of a photo
CATS = COMPOSITES = 30
EVALUATIONS = 64  # of the partition explainer: about what half a second allows on two cores
BACKGROUNDS = {"blurred": blur, "mean colour": mean_colour}


def main(arguments: Sequence[str] | None = None) -> None:
    given = read_options(sys.argv[1:] if arguments is None else arguments)
    photos = list_photos(given.photos, per_source=given.limit, seed=given.seed)
    check_sides(photos)
    say(f"fitting a head on the train split of {len(photos)} photos")
    network, rng = fit(photos, seed=given.seed), np.random.default_rng(given.seed)
    test = photos[photos["split"] == "test"]
    groups = {str(source): decode_some(rows, seed=given.seed) for source, rows in test.groupby("source")}
    composites = [draw_composite(test, rng) for _ in range(COMPOSITES * given.draws)]
    rows = compare_with_shapley(Shares(network), sum(groups.values(), []), rng)
    head = ("not smoothed", "correlation with Shapley values", "at worst")
    say(table(head, ((way, f"{alike:.4f}", f"{worst:.2f}") for way, (alike, worst) in rows.items())))
    say(compare_by_hiding(network, groups["cats"], composites, rng))


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.explanations", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help=f"a folder with {', '.join(SOURCES)} in it")
    parser.add_argument("--limit", type=int, default=2000, help="photos per source; with few it is a quick look")
    parser.add_argument("--draws", type=int, default=10, help=f"how many times {COMPOSITES} composites are drawn")
    parser.add_argument("--seed", type=int, default=2025)
    return parser.parse_args(arguments)


def fit(photos: pd.DataFrame, *, seed: int) -> keras.Model:
    """The default network, its head fitted with the default settings."""
    chunks = np.array_split(photos["path"], -(-len(photos) // 256))
    rows = np.concatenate([features(np.stack([decode(path) for path in chunk])) for chunk in chunks])
    examples = Examples(rows, allowed_classes(photos), np.ones(len(photos), np.float32))
    train, val = (examples.take((photos["split"] == side).to_numpy(bool)) for side in ("train", "val"))
    penalty, epochs = Settings().l2_penalty, Settings().epochs
    return build_served_network(fit_head(train, val, Hyperparameters(), l2_penalty=penalty, epochs=epochs, seed=seed))


def decode(path: str) -> Photo:
    return decode_pixels(Path(path).read_bytes(), SIZE)


def decode_some(photos: pd.DataFrame, *, seed: int) -> list[Photo]:
    return [decode(path) for path in photos.sample(min(CATS, len(photos)), random_state=seed)["path"]]


def compare_by_hiding(
    network: keras.Model, cats: list[Photo], composites: list[tuple[Photo, int]], rng: np.random.Generator
) -> str:
    """A table: mean P(cat) of cats with places hidden, and how many composites have their highest point in the cat."""
    score = freeze(network)
    names = [f"{end} {HIDDEN} {how}" for how in BACKGROUNDS for end in ("largest", "smallest")]
    whole, random = probability(score, cats), [rng.random((7, 7)) for _ in cats]
    rows: list[Sequence[str]] = [("nothing hidden", "", *[f"{whole:.3f}"] * len(names), "", "")]
    rows.append(("at random", "", *hide(score, cats, random), "", ""))
    for name, explain in explainers_of(network, score, cats[0]).items():
        say(f"{name}: {len(cats)} cats, {len(composites)} composites")
        hits = [is_in_quarter(explain(photo), quarter) for photo, quarter in composites]
        draws = [sum(hits[start : start + COMPOSITES]) for start in range(0, len(hits), COMPOSITES)]
        hidden = hide(score, cats, [explain(cat) for cat in cats])
        rows.append((name, f"{milliseconds(explain, cats[0]):.0f}", *hidden, f"{mean(draws):.1f}", str(min(draws))))
    return table(("", "ms", *names, f"of {COMPOSITES} composites", "in the worst draw"), rows)


def explainers_of(network: keras.Model, score: Graph, photo: Photo) -> dict[str, Explainer]:
    """By the names that the table shows; those of the partition explainer where shap is installed."""
    ours, shares = explain_by(network), Shares(network)
    explainers = {"averaged, then smoothed: the product's": ours} | {way: shares.explainer(way) for way in WAYS}
    if find_spec("shap") is None:
        say("shap is not installed, so that there are no rows of the partition explainer: see --help")
        return explainers
    from bench.partition_explainer import BATCH, explain_by_partition

    in_our_time = BATCH * milliseconds(ours, photo) / milliseconds(score, np.stack([photo] * BATCH))
    for evaluations in (max(2, round(in_our_time)), EVALUATIONS):
        explain = explain_by_partition(score, grid=len(ours(photo)), evaluations=evaluations)
        explainers[f"partition explainer, {evaluations} evaluations"] = explain
    return explainers


def milliseconds(work: Callable[[NDArray[np.uint8]], Any], given: NDArray[np.uint8]) -> float:
    """The quickest of twenty calls: what else the machine does makes others slower."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        work(given)
        times.append(1000 * (time.perf_counter() - began))
    return min(times)


def hide(score: Graph, cats: list[Photo], heats: list[Floats]) -> list[str]:
    """Mean P(cat) with the places of the largest and of the smallest shares hidden, for each background."""
    cells = []
    for background in BACKGROUNDS.values():
        for sign in (-1, 1):
            pairs = zip(cats, heats, strict=True)
            covered = [cover(cat, background(cat), lowest(sign * heat, HIDDEN)) for cat, heat in pairs]
            cells.append(f"{probability(score, covered):.3f}")
    return cells


def lowest(heat: Floats, count: int) -> NDArray[np.bool_]:
    """Where the lowest values are."""
    chosen = np.zeros(heat.size, bool)
    chosen[np.argsort(heat, axis=None, kind="stable")[:count]] = True
    return chosen.reshape(heat.shape)


def probability(score: Graph, photos: list[Photo]) -> float:
    """Mean P(cat), not scaled by a decision rule."""
    return float(expit(positive_log_odds(score(np.stack(photos)))).mean())


if __name__ == "__main__":
    main()
