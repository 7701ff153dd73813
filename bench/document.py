"""The results of bench.training -> docs/benchmarks.md. Data in, text out."""

import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from bench.question import SOURCES

Result = Mapping[str, Any]  # what a child process measured
Read = Callable[[Result], Any]
NONE = "–"
GOAL, SERVED_GOAL = 0.12, 1.3  # of the original's training time; of decoding and the network alone
COMPARED = """\
Each measurement ran in a process of its own, one after another, on the same photos. A photo's bytes decide its split,
as in the product. Exact duplicates were left out, near-duplicates and label issues were not. All recipes learn from the
train split and are measured on the val split after each epoch.

- **original**: grey photos of 256 pixels, all in memory as float32; five plain convolutions, Adam, batches of 64, no
  augmentation, threshold 0.5.
- **scratch** (`CAT_NETWORK=scratch`): the product's small network, which learns from the photos alone, at
  {image_size} pixels. Photos are decoded once, and each epoch saves a checkpoint. The decision rule is fitted on val.
- **default**: facts and embeddings of every photo by the frozen EfficientNet-Lite0, a search for hyperparameters of at
  most {tune_trials} trials, and a linear head. The decision rule is fitted on out-of-fold scores of train and val.

Each recipe ran once: another seed gives other results."""
DRAWINGS = "**The photos are drawings: the metrics of this page say nothing about cats.**"
COST = """\
Training time does not include loading. The default computes the embedding of a photo once: a later run computes those
of new photos only. The time of an epoch is the median without the first one, and includes the evaluation on val. Peak
memory is that of the whole process, with Python, TensorFlow and the evaluation on the test split, but without the
file cache of the operating system."""
FLATTERS = """\
**A random test split flatters.** Its photos come from the same collections as the train split, so a model may recognise
them by how they were made."""
WITHOUT_HELD_OUT = """\
Performance on photos from elsewhere was not measured: `HELD_OUT=<folder of the same structure>` does that."""
WITH_HELD_OUT = """\
Rows about photos from elsewhere ({photos:,} of them, which no recipe used) say what to expect of other photos."""
DETAILS = "In brackets: 95 % bootstrap intervals. Precision and recall follow from each model's own decision rule."
ONE_PHOTO = """\
Milliseconds for one photo in memory, without HTTP, over {calls} calls of each type in random order. The served model
gets a photo's bytes and returns a verdict; with an explanation also a picture. The goal for the served model is at most
{goal} times decoding and the network alone, at p50. The network runs with its weights as constants of the graph; with
variables instead it takes {variables} times as long at p50."""
GROWTH = """\
The default on ever more photos, each time from the beginning. The last row divides the last size by the first."""


def compose(results: Result, *, about: Mapping[str, str], drawn: bool) -> str:
    """The whole page; ``results`` are those of ``bench.training.measure``, ``about`` describes the run."""
    recipes: dict[str, Result] = results["recipes"]
    parts = [
        "# Benchmarks",
        "Written by `make bench`, not by hand.",
        table(("run", ""), about.items()),
        COMPARED.format(**results["settings"]) + (f" {DRAWINGS}" if drawn else ""),
        "## Cost of training",
        COST,
        costs(recipes),
        "## Metrics of the models",
        _about_metrics(recipes["default"]),
        metrics(recipes),
        "## One photo",
        _about_one_photo(results["inference"]),
        one_photo(results["inference"]),
    ]
    if results["growth"]:
        parts += ["## Growth", GROWTH, growth(results["growth"])]
    return "\n\n".join(parts) + "\n"


def costs(recipes: Mapping[str, Result]) -> str:
    """Seconds and memory of each recipe, with the ratio to the original if that was measured."""
    rows: list[tuple[str, Read]] = [
        ("loading or decoding all photos, s", seconds_of("loading")),
        ("embeddings of all photos, s", seconds_of("embeddings")),
        ("tuning, s", seconds_of("tuning")),
        ("head, s", seconds_of("head")),
        ("one epoch, s", epoch_seconds),
        ("epochs", lambda recipe: len(recipe["epoch_ends"]) if "epoch_ends" in recipe else None),
        ("training in all, s", seconds_of("training")),
        ("peak memory, GB", gigabytes),
    ]
    lines = [[name, *(_cell(read(recipe)) for recipe in recipes.values())] for name, read in rows]
    head = ["", *recipes]
    if "original" in recipes:
        head.append(f"default / original (goal for training: {GOAL})")
        for line, (_, read) in zip(lines, rows, strict=True):
            line.append(ratio(read(recipes["default"]), read(recipes["original"])))
    return table(head, lines)


def metrics(recipes: Mapping[str, Result]) -> str:
    """Metrics of each recipe; each row says which photos it is about."""
    names = {"precision": "precision", "recall": "recall", "average_precision": "average precision"}
    rows: list[tuple[str, tuple[str, ...]]]
    rows = [(f"{name}, random test split (flatters)", ("test", key)) for key, name in names.items()]
    rows += [("threshold", ("threshold",))]
    if "elsewhere" in recipes["default"]:
        elsewhere = {"precision": "precision", "recall": "recall", "roc_auc": "area under the ROC curve"}
        rows += [(f"{name}, photos from elsewhere", ("elsewhere", key)) for key, name in elsewhere.items()]
        for source in SOURCES:
            count = recipes["default"]["elsewhere"]["predicted_positive_rates"][source]["photos"]
            path = ("elsewhere", "predicted_positive_rates", source, "predicted_positive")
            rows.append((f"predicted positive, of {count:,} {source} from elsewhere", path))
    lines = [[name, *(_cell(_at(recipe, path)) for recipe in recipes.values())] for name, path in rows]
    return table(["", *recipes], lines)


def one_photo(times: Result) -> str:
    """A table of milliseconds, with the ratio to decoding and the network alone."""
    names = {
        "decode": "decoding",
        "network": "the network alone",
        "bare": "decoding and the network alone",
        "served": "the served model",
        "explained": "the served model, with an explanation",
    }
    rows = []
    for key, name in names.items():
        cells = (number(times[key]["p50"]), number(times[key]["p99"]))
        rows.append((name, *cells, ratio(times[key]["p50"], times["bare"]["p50"])))
    return table(("", "p50, ms", "p99, ms", "p50 / decoding and the network alone"), rows)


def growth(steps: Sequence[Result]) -> str:
    parts = ("embeddings", "tuning", "head", "training")
    reads: list[Read] = [lambda step: step["photos"], *(seconds_of(part) for part in parts), gigabytes]
    columns = [[read(step) for step in steps] for read in reads]
    rows = [[number(value) for value in row] for row in zip(*columns, strict=True)]
    head = ("photos", "embeddings, s", "tuning, s", "head, s", "in all, s", "peak memory, GB")
    return table(head, [*rows, [f"x {ratio(column[-1], column[0])}" for column in columns]])


def seconds_of(part: str) -> Read:
    return lambda recipe: recipe["seconds"].get(part)


def epoch_seconds(recipe: Result) -> float | None:
    """The median of all epochs but the first, which also builds TensorFlow's graphs; a single epoch counts."""
    if "epoch_ends" not in recipe:
        return None
    ends = [0.0, *recipe["epoch_ends"]]
    seconds = [end - start for start, end in zip(ends, ends[1:], strict=False)]
    return float(median(seconds[1:] or seconds))


def gigabytes(recipe: Result) -> float:
    return float(recipe["peak_bytes"] / 1e9)


def ratio(value: float | None, other: float | None) -> str:
    """NONE if a number is missing, or the divisor is zero."""
    return NONE if value is None or not other else number(value / other)


def number(value: float) -> str:
    """With three significant digits: 0.0123, 1.23, 12.3, 123, 1,234."""
    places = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, places)}f}" if isinstance(value, float) else f"{value:,}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def spell(module: str, arguments: Sequence[str]) -> str:
    """The command, without the names of this machine's folders."""
    names = [re.sub(r"[^=]*/", "", argument.rstrip("/")) for argument in arguments]
    return shlex.join(["python", "-m", module, *names])


def _about_metrics(default: Result) -> str:
    elsewhere = default.get("elsewhere")
    return f"{FLATTERS}\n{WITH_HELD_OUT.format(**elsewhere) if elsewhere else WITHOUT_HELD_OUT}\n\n{DETAILS}"


def _about_one_photo(times: Result) -> str:
    variables = ratio(times["variables"]["p50"], times["network"]["p50"])
    return ONE_PHOTO.format(calls=times["calls"], goal=SERVED_GOAL, variables=variables)


def _at(recipe: Result, path: Sequence[str]) -> Any:
    """The value under these keys of nested mappings."""
    for name in path:
        recipe = recipe[name]
    return recipe


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
    return NONE if value is None else number(value)
