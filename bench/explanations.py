"""Compares the product's explanations with simpler ones and SHAP's partition explainer: P(cat) with places hidden.

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

from bench.composites import draw_composite, peaks_in_quarter
from bench.document import table
from bench.measurement import say
from bench.occlusion import Photo, blur, mean_colour, occlude
from bench.photos import check_splits, list_photos
from bench.question import QUESTION, SOURCES
from bench.shares import METHODS, Explainer, Shares, compare_with_shapley
from include.backbone import SIZE
from include.backbone.features import Graph, features, freeze
from include.dataset.examples import Examples, allowed_classes, is_positive
from include.evaluation.metrics import positive_log_odds
from include.images.decoding import decode_pixels
from include.registry.explanation import Floats
from include.settings import Settings
from include.training.head import build_served_network, fit_head
from include.training.hyperparameters import Hyperparameters

HIDDEN = 10  # places of a photo
CATS = COMPOSITES = 30
EVALUATIONS = 64  # of the partition explainer: about half a second on two cores
BACKGROUNDS = {"blurred": blur, "mean colour": mean_colour}


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_options(sys.argv[1:] if arguments is None else arguments)
    photos = list_photos(options.photos, per_source=options.limit, seed=options.seed)
    check_splits(photos)
    say(f"fitting a head on the train split of {len(photos)} photos")
    network, rng = fit(photos, seed=options.seed), np.random.default_rng(options.seed)
    test = photos[photos["split"] == "test"]
    by_source = {str(source): decode_sample(members, seed=options.seed) for source, members in test.groupby("source")}
    composites = [draw_composite(test, rng) for _ in range(COMPOSITES * options.draws)]
    correlations = compare_with_shapley(Shares(network), sum(by_source.values(), []), rng)
    head = ("not smoothed", "mean correlation with Shapley values", "lowest")
    rows = [(method, f"{average:.4f}", f"{lowest:.2f}") for method, (average, lowest) in correlations.items()]
    say(table(head, rows))
    say(compare_by_occlusion(network, by_source["cats"], composites, rng))


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.explanations", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help=f"a folder with {', '.join(SOURCES)} in it")
    parser.add_argument("--limit", type=int, default=2000, help="photos per source; a few are enough for a quick look")
    parser.add_argument("--draws", type=int, default=10, help=f"how many times {COMPOSITES} composites are drawn")
    parser.add_argument("--seed", type=int, default=2025)
    return parser.parse_args(arguments)


def fit(photos: pd.DataFrame, *, seed: int) -> keras.Model:
    """The default network, with a head that was fitted with the default settings."""
    chunks = np.array_split(photos["path"], -(-len(photos) // 256))
    embeddings = np.concatenate([features(np.stack([decode(path) for path in chunk])) for chunk in chunks])
    weights = np.ones(len(photos), np.float32)
    examples = Examples(embeddings, allowed_classes(photos, QUESTION), weights, is_positive(photos))
    train, val = (examples.take((photos["split"] == split).to_numpy(bool)) for split in ("train", "val"))
    penalty, epochs = Settings().l2_penalty, Settings().epochs
    return build_served_network(fit_head(train, val, Hyperparameters(), l2_penalty=penalty, epochs=epochs, seed=seed))


def decode(path: str) -> Photo:
    return decode_pixels(Path(path).read_bytes(), SIZE)


def decode_sample(photos: pd.DataFrame, *, seed: int) -> list[Photo]:
    return [decode(path) for path in photos.sample(min(CATS, len(photos)), random_state=seed)["path"]]


def compare_by_occlusion(
    network: keras.Model, cats: list[Photo], composites: list[tuple[Photo, int]], rng: np.random.Generator
) -> str:
    """A table: mean P(cat) of cats with places hidden, and how many heat maps of composites peak in the cat."""
    score = freeze(network)
    columns = [f"{end} {HIDDEN} {background}" for background in BACKGROUNDS for end in ("largest", "smallest")]
    unchanged, random = mean_probability(score, cats), [rng.random((7, 7)) for _ in cats]
    rows: list[Sequence[str]] = [("nothing hidden", "", *[f"{unchanged:.3f}"] * len(columns), "", "")]
    rows.append(("at random", "", *occlusion_cells(score, cats, random), "", ""))
    for name, explain in explainers_of(network, score, cats[0]).items():
        say(f"{name}: {len(cats)} cats, {len(composites)} composites")
        hits = [peaks_in_quarter(explain(photo), quarter) for photo, quarter in composites]
        draws = [sum(hits[start : start + COMPOSITES]) for start in range(0, len(hits), COMPOSITES)]
        cells = occlusion_cells(score, cats, [explain(cat) for cat in cats])
        rows.append((name, f"{milliseconds(explain, cats[0]):.0f}", *cells, f"{mean(draws):.1f}", str(min(draws))))
    return table(("", "ms", *columns, f"of {COMPOSITES} composites", "in the worst draw"), rows)


def explainers_of(network: keras.Model, score: Graph, photo: Photo) -> dict[str, Explainer]:
    """By the names that the table shows; those of the partition explainer only if shap is installed."""
    shares = Shares(network)
    product: Explainer = shares.heat_map
    explainers = {"averaged, then smoothed: the product's": product}
    explainers |= {method: shares.explainer(method) for method in METHODS}
    if find_spec("shap") is None:
        say("shap is not installed, so there are no rows of the partition explainer: see --help")
        return explainers
    from bench.partition_explainer import BATCH, explain_by_partition

    in_same_time = BATCH * milliseconds(product, photo) / milliseconds(score, np.stack([photo] * BATCH))
    for evaluations in (max(2, round(in_same_time)), EVALUATIONS):
        explain = explain_by_partition(score, grid=len(product(photo)), evaluations=evaluations)
        explainers[f"partition explainer, {evaluations} evaluations"] = explain
    return explainers


def milliseconds(work: Callable[[NDArray[np.uint8]], Any], argument: NDArray[np.uint8]) -> float:
    """The fastest of twenty calls: other processes on the machine slow the others down."""
    times = []
    for _ in range(20):
        start = time.perf_counter()
        work(argument)
        times.append(1000 * (time.perf_counter() - start))
    return min(times)


def occlusion_cells(score: Graph, cats: list[Photo], heats: list[Floats]) -> list[str]:
    """Mean P(cat) with the places of the largest and of the smallest shares hidden, for each background."""
    cells = []
    for background in BACKGROUNDS.values():
        for sign in (-1, 1):
            pairs = zip(cats, heats, strict=True)
            occluded = [occlude(cat, background(cat), lowest_places(sign * heat, HIDDEN)) for cat, heat in pairs]
            cells.append(f"{mean_probability(score, occluded):.3f}")
    return cells


def lowest_places(heat: Floats, count: int) -> NDArray[np.bool_]:
    """Where the lowest values are."""
    lowest = np.zeros(heat.size, bool)
    lowest[np.argsort(heat, axis=None, kind="stable")[:count]] = True
    return lowest.reshape(heat.shape)


def mean_probability(score: Graph, photos: list[Photo]) -> float:
    """Mean P(cat), not scaled by a decision rule."""
    return float(expit(positive_log_odds(score(np.stack(photos)), QUESTION.positive_classes)).mean())


if __name__ == "__main__":
    main()
