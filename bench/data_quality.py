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

from bench.document import number, spell, table
from bench.lakes import check, copy, fill
from bench.machine import describe_machine
from bench.measuring import say
from bench.planted_copies import measure_copies
from bench.poisoned_uploads import hold_out, measure_poison
from bench.turned_labels import measure_labels
from include.lake.local import LocalStore
from include.records import SOURCES
from include.settings import ROOT, SAMPLE, Settings

DECIDING = ("network", "image_size", "epochs", "images_per_source", "seed")  # settings that the figures depend on
DOCUMENT = ROOT / "docs" / "data-checks.md"
DRAWINGS = "drawings of our own code: figures on them say nothing about photos"
COPIES = """\
Of {photos} photos of the lake, seven copies each were added to it, and looked for as the task `deduplicate` does.
Recall: how many were found to show their original. Precision: of the pairs that a planted photo is in, those that go
back to one photo, or to two that were a pair before."""
LABELS = """\
The labels of {share:.0%} of the train side were turned in the lake itself, so that the extractor learned them too. A
label is left out when the task `check_labels` doubts it. Some of those that nobody turned may be wrong all the same."""
POISON = """\
{gifts} photos of the train side were taken out of the lake and given back as uploads: {share:.0%} of the labels of
{visitors} are turned, and one session gives the other {flood}, every label turned. The difference is average precision
on the test side, of the model trained with them minus that of one trained with the right labels of the {visitors}, in
brackets 95 % of the paired resamples. "Gate": whether the first may replace the second. The last columns: how many
uploads trained, by what was true of their label. Each model was trained once. The mean difference is {mean:+.4f}."""


def main(arguments: Sequence[str] | None = None) -> None:
    given = read_options(sys.argv[1:] if arguments is None else arguments)
    settings = Settings(base_data=str(given.photos or SAMPLE))
    about = {"date": date.today().isoformat(), "command": f"`{spell('bench.data_quality', given.all)}`"}
    with tempfile.TemporaryDirectory() as scratch:
        say("filling a lake")
        lake = fill(Path(scratch) / "lake", settings)
        parts = list(measure(given, lake, settings, Path(scratch)))
    about |= describe_machine() | {"photos": "a folder of photos" if given.photos else DRAWINGS}
    about |= {name.replace("_", " "): str(getattr(settings, name)) for name in DECIDING}
    page = ["# What the checks of photos find", "Written by `make bench-data`, not by hand."]
    given.out.write_text("\n\n".join([*page, table(("run", ""), about.items()), *parts]) + "\n")
    say(f"written to {given.out}")


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, and as ``all`` what was written."""
    parser = argparse.ArgumentParser(prog="python -m bench.data_quality", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help=f"a folder with {', '.join(SOURCES)} in it; without it: drawings")
    parser.add_argument("--copied", type=int, default=300, help="photos of which copies are planted")
    parser.add_argument("--turned", type=float, default=0.05, help="share of labels that are turned")
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--poisoned", type=float, default=0.3, help="share of uploads with turned labels")
    parser.add_argument("--flood", type=int, default=100, help="photos of the session that turns every label")
    parser.add_argument("--seeds", type=int, default=3, help="how many times labels are turned; a training each")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    given = parser.parse_args(arguments)
    given.all = list(arguments)
    return given


def measure(given: argparse.Namespace, lake: LocalStore, settings: Settings, scratch: Path) -> Iterator[str]:
    """Each part of the page, from a lake of its own."""
    yield shown(copies_part(given, copy(lake, scratch / "copies"), settings))
    yield shown(labels_part(given, copy(lake, scratch / "labels"), settings, scratch / "pixels"))
    yield shown(poison_part(given, lake, settings, scratch))


def shown(part: str) -> str:
    say(f"\n{part}\n")
    return part


def copies_part(given: argparse.Namespace, lake: LocalStore, settings: Settings) -> str:
    say(f"planting copies of {given.copied} photos")
    found = measure_copies(lake, settings, count=given.copied)
    rows = [(f"recall, {kind}", number(recall)) for kind, recall in found["recall"].items()]
    rows += [("pairs found with a planted photo", number(found["found"])), ("precision", number(found["precision"]))]
    return "\n\n".join(["## Planted copies", COPIES.format(photos=given.copied), table(("", ""), rows)])


def labels_part(given: argparse.Namespace, lake: LocalStore, settings: Settings, cache: Path) -> str:
    say(f"turning {given.turned:.0%} of the labels; the lake's extractor is trained on them")
    found = measure_labels(lake, settings, share=given.turned, cache=cache)
    rows = [
        ("turned labels that were judged", number(found["turned"])),
        ("of them in the tenth that is believed least", number(found["in_worst_tenth"])),
        ("labels left out", number(found["left_out"])),
        ("of them really turned", number(found["really_turned"])),
    ]
    return "\n\n".join(["## Turned labels", LABELS.format(share=given.turned), table(("", ""), rows)])


def poison_part(given: argparse.Namespace, lake: LocalStore, settings: Settings, scratch: Path) -> str:
    photos = hold_out(lake, count=given.uploads + given.flood, seed=settings.seed)
    say(f"{len(photos)} photos were taken out of the lake; now its extractor is trained, and {given.seeds + 1} models")
    check(lake, settings, cache=scratch / "pixels")
    seeds = range(1, given.seeds + 1)
    drawn = measure_poison(
        lake, photos, settings, flood=given.flood, turned=given.poisoned, seeds=seeds, folder=scratch
    )
    told = {"gifts": len(photos), "share": given.poisoned, "visitors": given.uploads, "flood": given.flood}
    mean = float(np.mean([found["difference"] for found in drawn]))
    rows = [poison_row(seed, found) for seed, found in zip(seeds, drawn, strict=True)]
    head = ("draw", "difference", "gate", "right", "turned", "of the session")
    return "\n\n".join(["## Poisoned uploads", POISON.format(mean=mean, **told), table(head, rows)])


def poison_row(seed: int, found: dict[str, Any]) -> tuple[str, ...]:
    drawn = f"{found['difference']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"
    shares = (f"{found['used'][kind]} of {count}" for kind, count in found["given"].items())
    return (str(seed), drawn, "passes" if found["passed"] else "refuses", *shares)


if __name__ == "__main__":
    main()
