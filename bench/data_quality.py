"""What the checks of photos find: planted copies, turned labels, poisoned uploads; writes docs/data-checks.md.

python -m bench.data_quality [--photos FOLDER] [--help]
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from bench import measuring
from bench.document import number, spell, table
from bench.lakes import copy, fill
from bench.machine import describe_machine
from bench.measuring import Job, say
from bench.planted_copies import measure_copies
from bench.poisoned_uploads import THRESHOLDS, hold_out, measure_poison
from bench.turned_labels import doubted, measure_labels, pool
from include.lake.local import LocalStore
from include.records import SOURCES
from include.settings import ROOT, SAMPLE, Settings

DECIDING = ("network", "l2_penalty", "epochs", "images_per_source", "seed")  # settings that the results depend on
DOCUMENT = ROOT / "docs" / "data-checks.md"
DRAWINGS = "drawings of our own code: numbers about them say nothing about photos"
NEAR_DUPLICATES = """\
Of {photos} photos of the lake, seven copies each were added to it, and looked for as the task `deduplicate` does.
Recall: how many were found to show their original. Precision: of the pairs that a planted photo is in, those that go
back to one photo, or to two that were a pair before."""
LABELS = """\
The labels of {share:.0%} of the train split were turned in the lake itself, drawn at random (draws: {draws}). The task
`check_labels` checks each label by P(label) of a linear model that did not see the photo, and leaves out those below
`max_quality` ({limit}). Goals: of the turned labels 0.97 in the tenth with the lowest P(label), and 0.90 left out; of
the labels left out 0.95 turned. Some labels that nobody turned are wrong all the same: in the lake as it came {known}
are left out, and the last column says how many of the other labels are among them."""
LIMITS = "All draws together, with other values of `max_quality`; the setting is bold:"
POISON = """\
{gifts} photos of the train split were taken out of the lake and given back as uploads: {share:.0%} of the labels of
{visitors} are turned, and one session gives the other {flood}, every label turned. The difference is average precision
on the test split, of the model trained with them minus that of one trained with the right labels of the {visitors}, in
brackets 95 % of the paired resamples. "Gate": whether the first may replace the second. The last columns: how many
uploads trained, by what was true of their label; the goal for 60 turned and 140 right ones is at most 3 and at least
130. Each model was trained once, with the default hyperparameters. The mean difference is {mean:+.4f}."""
AGREEMENTS = """\
Uploads must agree with the base photos: P(label) at least `min_agreement` ({limit}). With other values these would have
trained, in each draw; the setting is bold:"""
MEMORY = """\
The task `check_labels` on {photos:,} photos with random features, in a process of its own, from a lake that is a
folder. The goal is a peak of at most 2.5 GB."""


def main(arguments: Sequence[str] | None = None) -> None:
    given = read_options(sys.argv[1:] if arguments is None else arguments)
    about = {"date": date.today().isoformat(), "command": f"`{spell('bench.data_quality', given.all)}`"}
    about |= describe_machine() | {"photos": "a folder of photos" if given.photos else DRAWINGS}
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(
            base_data=str(given.photos or SAMPLE), state_dir=Path(scratch), network="efficientnet_lite0"
        )
        about |= {name.replace("_", " "): str(getattr(settings, name)) for name in DECIDING}
        parts = list(measure(given, settings, Path(scratch)))
    page = ["# What the checks of photos find", "Written by `make bench-data`, not by hand."]
    given.out.write_text("\n\n".join([*page, table(("run", ""), about.items()), *parts]) + "\n")
    say(f"written to {given.out}")


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, and under ``all`` the arguments as they were written."""
    parser = argparse.ArgumentParser(prog="python -m bench.data_quality", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help=f"a folder with {', '.join(SOURCES)} in it; without it: drawings")
    parser.add_argument("--copied", type=int, default=300, help="photos of which copies are planted")
    parser.add_argument("--turned", type=float, default=0.05, help="share of labels that are turned")
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--poisoned", type=float, default=0.3, help="share of uploads with turned labels")
    parser.add_argument("--flood", type=int, default=100, help="photos of the session that turns every label")
    parser.add_argument("--seeds", type=int, default=3, help="how many times labels are turned")
    parser.add_argument("--synthetic", type=int, default=200_000, help="photos for the memory of label checks")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    given = parser.parse_args(arguments)
    given.all = list(arguments)
    return given


def measure(given: argparse.Namespace, settings: Settings, scratch: Path) -> Iterator[str]:
    """Each part of the page, from lakes of its own."""
    memory = memory_part(given, scratch / "memory")  # first, while this process is small: see `peak_bytes`
    say("filling a lake")
    lake = fill(scratch / "lake", settings)
    yield shown(copies_part(given, copy(lake, scratch / "copies"), settings))
    yield shown(labels_part(given, lake, settings, scratch))
    yield shown(poison_part(given, lake, settings, scratch))
    yield shown(memory)


def shown(part: str) -> str:
    say(f"\n{part}\n")
    return part


def copies_part(given: argparse.Namespace, lake: LocalStore, settings: Settings) -> str:
    say(f"planting copies of {given.copied} photos")
    result = measure_copies(lake, settings, count=given.copied)
    rows = [(f"recall, {kind}", number(recall)) for kind, recall in result["recall"].items()]
    rows += [("pairs found with a planted photo", number(result["found"])), ("precision", number(result["precision"]))]
    return page_part("Planted copies", NEAR_DUPLICATES.format(photos=given.copied), table(("", ""), rows))


def labels_part(given: argparse.Namespace, lake: LocalStore, settings: Settings, scratch: Path) -> str:
    known = doubted(copy(lake, scratch / "labels"), settings)
    draws = []
    for seed in range(1, given.seeds + 1):
        say(f"turning {given.turned:.0%} of the labels, draw {seed} of {given.seeds}")
        spoiled = copy(lake, scratch / f"labels {seed}")
        draws.append(measure_labels(spoiled, settings, share=given.turned, seed=seed, known=known))
    limit = settings.policy.labels.max_quality
    text = LABELS.format(share=given.turned, draws=given.seeds, limit=limit, known=len(known))
    head = (
        "draw",
        "turned labels judged",
        "in the lowest tenth",
        *SHARES,
        "others left out",
        "of them left out before",
    )
    rows = [label_row(seed, draw) for seed, draw in enumerate(draws, 1)]
    limits = [(mark(row["threshold"], limit), *shares(row)) for row in pool(draws)]
    return page_part("Turned labels", text, table(head, rows), LIMITS, table(("`max_quality`", *SHARES), limits))


SHARES = ("of the turned labels left out", "labels left out", "of them turned")


def shares(row: dict[str, Any]) -> tuple[str, str, str]:
    """The columns SHARES of one draw, or of one threshold."""
    right, left_out = row["really_turned"], row["left_out"]
    return number(right / max(1, row["turned"])), number(int(left_out)), number(right / max(1, left_out))


def label_row(seed: int, draw: dict[str, Any]) -> tuple[str, ...]:
    others = draw["left_out"] - draw["really_turned"]
    known = (number(others), number(draw["known"]))
    return (str(seed), number(draw["turned"]), number(draw["in_worst_tenth"]), *shares(draw), *known)


def poison_part(given: argparse.Namespace, lake: LocalStore, settings: Settings, scratch: Path) -> str:
    photos = hold_out(lake, count=given.uploads + given.flood, seed=settings.seed)
    say(f"{len(photos)} photos were taken out of the lake; now {given.seeds + 1} models are trained")
    seeds = range(1, given.seeds + 1)
    draws = measure_poison(
        lake, photos, settings, flood=given.flood, turned=given.poisoned, seeds=seeds, folder=scratch
    )
    amounts = {"gifts": len(photos), "share": given.poisoned, "visitors": given.uploads, "flood": given.flood}
    mean = float(np.mean([draw["difference"] for draw in draws]))
    rows = [poison_row(seed, draw) for seed, draw in zip(seeds, draws, strict=True)]
    head = ("draw", "difference", "gate", "right", "turned", "of the session")
    limit = settings.policy.labels.min_agreement
    parts = [POISON.format(mean=mean, **amounts), table(head, rows), AGREEMENTS.format(limit=limit)]
    return page_part("Poisoned uploads", *parts, agreements(draws, limit))


def poison_row(seed: int, draw: dict[str, Any]) -> tuple[str, ...]:
    difference = f"{draw['difference']:+.4f} ({draw['low']:+.4f} to {draw['high']:+.4f})"
    used = (f"{draw['used'][kind]} of {count}" for kind, count in draw["given"].items())
    return (str(seed), difference, "passes" if draw["passed"] else "refuses", *used)


def agreements(draws: Sequence[dict[str, Any]], limit: float) -> str:
    """How many uploads of visitors would have trained by each threshold, in each draw."""

    def each(kind: str, low: float) -> str:
        return ", ".join(str(draw["by_threshold"][low][kind]) for draw in draws)

    rows = [(mark(low, limit), each("right", low), each("turned", low)) for low in THRESHOLDS]
    return table(("`min_agreement`", "right", "turned"), rows)


def memory_part(given: argparse.Namespace, folder: Path) -> str:
    job = Job("label checks", str(folder / "lake"), str(folder / "state"), synthetic=given.synthetic)
    result = measuring.run("bench.label_memory", job)
    rows = [("seconds", number(result["seconds"])), ("peak memory, GB", number(result["peak_bytes"] / 1e9))]
    return page_part("Label checks of many photos", MEMORY.format(photos=result["photos"]), table(("", ""), rows))


def mark(value: float, limit: float) -> str:
    """Bold where it is the setting's."""
    return f"**{value:g}**" if value == limit else f"{value:g}"


def page_part(title: str, *paragraphs: str) -> str:
    return "\n\n".join([f"## {title}", *paragraphs])


if __name__ == "__main__":
    main()
