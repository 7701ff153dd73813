"""What the data checks find: planted near-duplicates, flipped labels, poisoned uploads; writes docs/data-checks.md.

python -m bench.data_quality [--photos FOLDER] [--help]
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import measurement
from bench.document import number, table
from bench.flipped_labels import keys_with_issues, measure_flipped_labels, sum_draws
from bench.lakes import copy, fill, prepare
from bench.measurement import Job, say
from bench.planted_near_duplicates import EDITS, measure_near_duplicates
from bench.poisoned_uploads import THRESHOLDS, measure_poisoning, withdraw_photos
from bench.question import SOURCES
from include.lake.local import LocalStore
from include.promotion.gate_words import shorten
from include.settings import ROOT, Settings

DOCUMENT = ROOT / "docs" / "data-checks.md"
NEAR_DUPLICATES = """\
For each of {photos} photos, {edits} near-duplicates were added to the lake, one by each edit below. The task
`deduplicate` then searched for near-duplicates. Recall: the share of the planted photos that it pairs with their
original. Precision: the share of correct pairs among those with a planted photo. A pair is correct if both photos come
from one original, or from two photos that were a pair before."""
LABELS = """\
{share:.0%} of the labels of the train split were flipped, at random, in each of {draws} draws. The task `check_labels`
computes P(label) of each photo by a linear model that did not see the photo; a label below `max_quality` ({limit}) is a
label issue, and its photo does not train. Recall: the share of the flipped labels that become label issues (goal:
0.90). Precision: the share of the label issues that were flipped (goal: 0.95). Goal for the tenth of the labels with
the lowest P(label): it holds 0.97 of the flipped ones. Some labels are wrong although nobody flipped them: the
unchanged lake has {known} label issues, and the last column counts those among the other label issues."""
LIMITS = "The sum of all draws, for other values of `max_quality`; the current setting is bold:"
POISON = """\
{photos} photos of the train split were taken out of the lake and uploaded again. Visitors upload {visitors} of them and
flip {share:.0%} of their labels; one session uploads the other {flood} and flips every label. "Difference" is how many
sure errors per 1,000 photos of the test split a model trained with these uploads makes fewer than a model trained with
the correct labels of the {visitors}; in brackets the paired 95 % interval. "Gate" is its decision on whether the first
model may replace the second. The last columns count the uploads that trained, by what was done to
their labels; the goal for 60 flipped and 140 correct labels is at most 3 and at least 130. Each model was trained once,
with the default hyperparameters. The mean difference is {mean:+.1f}."""
AGREEMENTS = """\
Uploads must agree with the base photos: P(label) must be at least `min_agreement` ({limit}). The number of uploads that
would have trained in each draw, for other values; the current setting is bold:"""
MEMORY = """\
The task `check_labels` on {photos:,} photos with random embeddings, in a process of its own, with a local folder as the
lake. The goal is a peak of at most 2.5 GB."""
LABEL_COLUMNS = ("recall", "label issues", "precision")


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_options(sys.argv[1:] if arguments is None else arguments)
    with prepare("bench.data_quality", options) as (settings, scratch, about):
        parts = list(measure(options, settings, scratch))
    page = ["# What the data checks find", "Written by `make bench-data`, not by hand."]
    options.out.write_text("\n\n".join([*page, table(("run", ""), about.items()), *parts]) + "\n")
    say(f"written to {options.out}")


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, and under ``all`` the arguments as they were given."""
    parser = argparse.ArgumentParser(prog="python -m bench.data_quality", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help=f"a folder with {', '.join(SOURCES)} in it; default: drawings")
    parser.add_argument("--originals", type=int, default=300, help="photos whose near-duplicates are planted")
    parser.add_argument("--flipped", type=float, default=0.05, help="share of the labels that are flipped")
    parser.add_argument("--uploads", type=int, default=200, help="photos that visitors upload")
    parser.add_argument("--poisoned", type=float, default=0.3, help="share of these uploads with flipped labels")
    parser.add_argument("--flood", type=int, default=100, help="uploads of the session that flips every label")
    parser.add_argument("--seeds", type=int, default=3, help="how many times labels are flipped")
    parser.add_argument("--synthetic", type=int, default=200_000, help="photos for the memory of the label checks")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    options = parser.parse_args(arguments)
    options.all = list(arguments)
    return options


def measure(options: argparse.Namespace, settings: Settings, scratch: Path) -> Iterator[str]:
    """The parts of the page; each has lakes of its own."""
    memory = memory_part(options, scratch / "memory")  # first, while this process is small: see `peak_bytes`
    say("filling a lake")
    lake = fill(scratch / "lake", settings)
    yield shown(near_duplicates_part(options, copy(lake, scratch / "near-duplicates"), settings))
    yield shown(labels_part(options, lake, settings, scratch))
    yield shown(uploads_part(options, lake, settings, scratch))
    yield shown(memory)


def shown(part: str) -> str:
    say(f"\n{part}\n")
    return part


def near_duplicates_part(options: argparse.Namespace, lake: LocalStore, settings: Settings) -> str:
    say(f"planting near-duplicates of {options.originals} photos")
    result = measure_near_duplicates(lake, settings, count=options.originals)
    rows = [(f"recall, {edit}", number(recall)) for edit, recall in result["recall"].items()]
    rows += [("new pairs", number(result["new_pairs"])), ("precision", number(result["precision"]))]
    text = NEAR_DUPLICATES.format(photos=options.originals, edits=len(EDITS))
    return page_part("Planted near-duplicates", text, table(("", ""), rows))


def labels_part(options: argparse.Namespace, lake: LocalStore, settings: Settings, scratch: Path) -> str:
    known = keys_with_issues(copy(lake, scratch / "labels"), settings)
    draws = []
    for seed in range(1, options.seeds + 1):
        say(f"flipping {options.flipped:.0%} of the labels, draw {seed} of {options.seeds}")
        copied = copy(lake, scratch / f"labels {seed}")
        draws.append(measure_flipped_labels(copied, settings, share=options.flipped, seed=seed, known=known))
    limit = settings.policy.labels.max_quality
    text = LABELS.format(share=options.flipped, draws=options.seeds, limit=limit, known=len(known))
    head = (
        "draw",
        "flipped labels",
        "in the lowest tenth",
        *LABEL_COLUMNS,
        "other label issues",
        "of them in the unchanged lake",
    )
    rows = [label_row(seed, draw) for seed, draw in enumerate(draws, 1)]
    limits = [(mark(row["threshold"], limit), *label_cells(row)) for row in sum_draws(draws)]
    by_limit = table(("`max_quality`", *LABEL_COLUMNS), limits)
    return page_part("Flipped labels", text, table(head, rows), LIMITS, by_limit)


def label_cells(row: dict[str, Any]) -> tuple[str, str, str]:
    """The LABEL_COLUMNS of one draw, or of one threshold."""
    hits, issues = row["flipped_issues"], row["issues"]
    return number(hits / max(1, row["flipped"])), number(int(issues)), number(hits / max(1, issues))


def label_row(seed: int, draw: dict[str, Any]) -> tuple[str, ...]:
    others = (number(draw["issues"] - draw["flipped_issues"]), number(draw["known_issues"]))
    return (str(seed), number(draw["flipped"]), number(draw["in_lowest_tenth"]), *label_cells(draw), *others)


def uploads_part(options: argparse.Namespace, lake: LocalStore, settings: Settings, scratch: Path) -> str:
    photos = withdraw_photos(lake, count=options.uploads + options.flood, seed=settings.seed)
    say(f"{len(photos)} photos were taken out of the lake; now {options.seeds + 1} models are trained")
    seeds = range(1, options.seeds + 1)
    draws = measure_poisoning(
        lake, photos, settings, flood=options.flood, flipped=options.poisoned, seeds=seeds, folder=scratch
    )
    counts = {"photos": len(photos), "visitors": options.uploads, "flood": options.flood}
    mean = float(np.mean([draw["difference"].value for draw in draws]))
    text = POISON.format(share=options.poisoned, mean=mean, **counts)
    head = ("draw", "difference", "gate", "correct", "flipped", "of the one session")
    rows = [upload_row(seed, draw) for seed, draw in zip(seeds, draws, strict=True)]
    limit = settings.policy.labels.min_agreement
    parts = [text, table(head, rows), AGREEMENTS.format(limit=limit), agreements(draws, limit)]
    return page_part("Poisoned uploads", *parts)


def upload_row(seed: int, draw: dict[str, Any]) -> tuple[str, ...]:
    used = (f"{draw['used'][origin]} of {count}" for origin, count in draw["uploaded"].items())
    return (str(seed), shorten(draw["difference"]), draw["outcome"], *used)


def agreements(draws: Sequence[dict[str, Any]], limit: float) -> str:
    """How many uploads of visitors would have trained by each threshold, in each draw."""

    def counts(origin: str, threshold: float) -> str:
        return ", ".join(str(draw["by_threshold"][threshold][origin]) for draw in draws)

    rows = [
        (mark(threshold, limit), counts("correct", threshold), counts("flipped", threshold)) for threshold in THRESHOLDS
    ]
    return table(("`min_agreement`", "correct", "flipped"), rows)


def memory_part(options: argparse.Namespace, folder: Path) -> str:
    job = Job("label checks", str(folder / "lake"), str(folder / "state"), synthetic=options.synthetic)
    result = measurement.run("bench.label_memory", job)
    rows = [("seconds", number(result["seconds"])), ("peak memory, GB", number(result["peak_bytes"] / 1e9))]
    return page_part("Label checks of many photos", MEMORY.format(photos=result["photos"]), table(("", ""), rows))


def mark(value: float, setting: float) -> str:
    """The value, in bold if it is the current setting."""
    return f"**{value:g}**" if value == setting else f"{value:g}"


def page_part(title: str, *paragraphs: str) -> str:
    return "\n\n".join([f"## {title}", *paragraphs])


if __name__ == "__main__":
    main()
