"""What was measured -> docs/benchmarks.md. Data in, text out."""

import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from statistics import median
from typing import Any

Measured = Mapping[str, Any]  # what a child process told
NONE = "–"
RANKS = ("p50", "p99")
COMPARED = """\
Each measurement ran in a process of its own, one after another, on the same photos. Both recipes train on the same
side and are watched on the same half of val; the side of a photo follows from its bytes, as in the product. The
original recipe: grey photos of 256 pixels, all in memory as float32, five plain convolutions, Adam, batches of 64, no
augmentation, cut-off 0.5. Ours: the product's own code with network `{network}` at {image_size} pixels, photos
decoded into an empty cache, a checkpoint after each epoch, the best epoch by the same half of val, and the threshold
from the other half, which the original leaves unused. `scratch` begins with the lake's extractor, as the first run on
a lake trains it: its minutes count as training, before the first epoch. Exact copies were taken out, near-copies were
not. An epoch is the median without the first one, and contains the look at val; training is timed without loading,
and the original's way to its best until it reached it. In brackets: 95 % bootstrap intervals. Each recipe ran once:
another seed gives other figures. Peak memory is that of the whole process, with Python and TensorFlow, without the
system's cache of files."""
DRAWINGS = "**The photos are drawings: figures on them say nothing about cats.**"
ONE_PHOTO = """\
The bare call gets decoded pixels. The served model gets the bytes of a photo, and returns a verdict; asked to explain,
it also draws a picture. No HTTP is in these figures. Calls: {calls}, with an explanation {explained}."""
GROWTH = """\
The first epochs of ours; an epoch is the last of them. The last line says how many times the first size it is."""


def compose(results: Measured, *, about: Mapping[str, str], drawn: bool) -> str:
    """The whole page; ``results`` are those of ``bench.training.measure``, ``about`` is what is told of the run."""
    inference = results["inference"]
    calls = {"calls": inference["bare"]["calls"], "explained": inference["explained"]["calls"]}
    parts = [
        "# Benchmarks",
        "Written by `make bench`, not by hand.",
        table(("run", ""), about.items()),
        COMPARED.format(**results["settings"]) + (f" {DRAWINGS}" if drawn else ""),
        "## The original recipe and ours",
        side_by_side(results["original"], results["ours"]),
        "Average precision on val after each epoch:",
        curves(results["original"], results["ours"]),
        "## One photo",
        ONE_PHOTO.format(**calls),
        one_photo(inference),
    ]
    if results["growth"]:
        parts += ["## Growth", GROWTH, growth(results["growth"])]
    return "\n\n".join(parts) + "\n"


def side_by_side(original: Measured | None, ours: Measured) -> str:
    """Where the original was skipped it has dashes."""
    rows: list[tuple[str, Callable[[Measured], Any]]] = [
        ("loading all photos, s", lambda found: found["load_seconds"]),
        ("one epoch, s", epoch_seconds),
        ("photos trained on per second", photos_per_second),
        ("epochs", lambda found: len(found["epochs"])),
        ("training, s", lambda found: found["epochs"][-1]["seconds"]),
        ("peak memory, GB", gigabytes),
        ("precision on test", lambda found: found["precision"]),
        ("recall on test", lambda found: found["recall"]),
        ("average precision on test", lambda found: found["average_precision"]),
    ]
    lines = [(name, original and read(original), read(ours)) for name, read in rows]
    lines += [("cut-off", original and number(original["threshold"]), number(ours["threshold"]))]
    lines += [_until_best(original, ours)] if original else []
    head = ("", "original", "ours", "ours / original")
    return table(head, ((name, _cell(old), _cell(new), ratio(new, old)) for name, old, new in lines))


def curves(original: Measured | None, ours: Measured) -> str:
    """Seconds since training began, and average precision, of both."""
    head = ("epoch", "original, s", "original", "ours, s", "ours")
    pairs = zip_longest(original["epochs"] if original else [], ours["epochs"])
    rows = ((str(number), *_point(old), *_point(new)) for number, (old, new) in enumerate(pairs, 1))
    return table(head, rows)


def one_photo(found: Measured) -> str:
    """Milliseconds; the ratio is to the bare call."""
    names = {"bare": "bare network call", "served": "the served model", "explained": "with an explanation"}
    head = ("", "p50, ms", "p99, ms", "p50 / bare p50", "p99 / bare p99")
    rows = []
    for key, name in names.items():
        times = [number(found[key][rank]) for rank in RANKS]
        rows.append((name, *times, *(ratio(found[key][rank], found["bare"][rank]) for rank in RANKS)))
    return table(head, rows)


def growth(steps: Sequence[Measured]) -> str:
    read = (lambda found: found["photos"], lambda found: found["load_seconds"], epoch_seconds, photos_per_second)
    columns = [[value(step) for step in steps] for value in (*read, gigabytes)]
    rows = [[number(value) for value in row] for row in zip(*columns, strict=True)]
    head = ("photos", "loading, s", "one epoch, s", "photos trained on per second", "peak memory, GB")
    return table(head, [*rows, [f"x {ratio(column[-1], column[0])}" for column in columns]])


def epoch_seconds(found: Measured) -> float:
    """The median of all epochs but the first, which also builds TensorFlow's graphs; of one epoch, that one."""
    ends = [0.0, *(epoch["seconds"] for epoch in found["epochs"])]
    taken = [end - begin for begin, end in zip(ends, ends[1:], strict=False)]
    return median(taken[1:] or taken)


def photos_per_second(found: Measured) -> float:
    return float(found["trained_on"] / epoch_seconds(found))


def gigabytes(found: Measured) -> float:
    return float(found["peak_bytes"] / 1e9)


def first_above(epochs: Sequence[Measured], bar: float) -> float | None:
    """Seconds until average precision on val first exceeded ``bar``; none where it never did."""
    return next((epoch["seconds"] for epoch in epochs if epoch["average_precision"] > bar), None)


def ratio(one: Any, other: Any) -> str:
    """Of numbers, or of figures with intervals; nothing where one is missing or divides by zero."""
    first, second = _value(one), _value(other)
    return NONE if first is None or not second else number(first / second)


def number(value: float) -> str:
    """Three digits that count: 0.0123, 1.23, 12.3, 123, 1,234."""
    places = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, places)}f}" if isinstance(value, float) else f"{value:,}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spell(module: str, arguments: Sequence[str]) -> str:
    """The command, without the folders of this machine."""
    named = [re.sub(r"[^=]*/", "", argument.rstrip("/")) for argument in arguments]
    return shlex.join(["python", "-m", module, *named])


def _until_best(original: Measured, ours: Measured) -> tuple[str, float, float | str]:
    """The original itself is timed until it reached its best."""
    best = max(original["epochs"], key=lambda epoch: epoch["average_precision"])
    bar = best["average_precision"]
    name = f"training until average precision on val exceeds the original's best, {number(bar)}, s"
    return name, best["seconds"], first_above(ours["epochs"], bar) or "never"


def _point(epoch: Measured | None) -> tuple[str, str]:
    return (number(epoch["seconds"]), number(epoch["average_precision"])) if epoch else (NONE, NONE)


def _value(found: Any) -> float | None:
    found = found["value"] if isinstance(found, Mapping) else found
    return None if isinstance(found, str) else found


def _cell(found: Any) -> str:
    if isinstance(found, Mapping):
        return f"{found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
    return NONE if found is None else found if isinstance(found, str) else number(found)
