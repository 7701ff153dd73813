"""The original recipe and ours side by side, one photo at a time, and growth; writes docs/benchmarks.md.

python -m bench.training [--photos FOLDER] [--help]

This process loads neither photos nor TensorFlow; each measurement is a child of its own, never two at once.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from bench import measuring, photos
from bench.document import compose, spell
from bench.machine import describe_machine
from bench.measuring import Job, say
from include.images.synthetic import PER_SOURCE
from include.records import SIDES, SOURCES
from include.settings import ROOT, Settings

DOCUMENT = ROOT / "docs" / "benchmarks.md"


def main(arguments: Sequence[str] | None = None) -> None:
    given = read_options(sys.argv[1:] if arguments is None else arguments)
    about = {
        "date": date.today().isoformat(),
        "command": f"`{spell('bench.training', given.all)}`",
        **describe_machine(),
    }
    with tempfile.TemporaryDirectory() as scratch:
        everything, compared = gather(given, Path(scratch))
        counts = ", ".join(f"{sum(compared['side'] == side):,} {side}" for side in SIDES)
        what = "a folder of photos" if given.photos else "drawings of our own code"
        about["photos"] = f"{what}: {len(compared):,} for both recipes ({counts})"
        results = measure(given, everything, compared, Path(scratch))
    page = compose(results, about=about, drawn=not given.photos)
    given.out.write_text(page)
    print(page)
    say(f"written to {given.out}")


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, and as ``all`` what was written."""
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help=f"a folder with {', '.join(SOURCES)} in it; without it: drawings")
    parser.add_argument("--photos-per-source", type=int, help="for both recipes; as many as a run of the DAG takes")
    parser.add_argument("--network", choices=["scratch", "mobilenet"], default=Settings().network, help="of ours")
    parser.add_argument("--epochs", type=int, help="of ours; the setting's")
    parser.add_argument("--original-epochs", type=int, default=10)
    parser.add_argument("--skip-original", action="store_true", help="for a quick look")
    parser.add_argument("--growth", type=int, nargs="*", default=[1000, 2000, 4000, 8000], help="numbers of photos")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    given = parser.parse_args(arguments)
    usual = Settings().images_per_source if given.photos else PER_SOURCE
    given.photos_per_source = given.photos_per_source or usual
    given.epochs = given.epochs or Settings(network=given.network).epochs
    given.all = list(arguments)
    return given


def gather(given: argparse.Namespace, scratch: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All photos that any measurement needs, and those of the two recipes."""
    per_source = max(given.photos_per_source, *(count // len(SOURCES) for count in given.growth), 0)
    if not given.photos:
        say(f"drawing {per_source:,} pictures of each source")
        photos.draw_photos(scratch / "photos", per_source=per_source)
    seed = Settings().seed
    everything = photos.list_photos(folder_of(given, scratch), per_source=per_source, seed=seed)
    compared = photos.choose(everything, per_source=given.photos_per_source, seed=seed)
    photos.check_sides(compared)
    return everything, compared


def measure(
    given: argparse.Namespace, everything: pd.DataFrame, compared: pd.DataFrame, scratch: Path
) -> dict[str, Any]:
    """What each child told, under original (none if skipped), ours, inference and growth; and the settings of ours."""

    def run(module: str, name: str, chosen: pd.DataFrame, epochs: int, folder: str = "") -> dict[str, Any]:
        place = Path(folder) if folder else scratch / name.replace(" ", "-")
        place.mkdir(exist_ok=True)
        manifest = scratch / "manifest.parquet"
        chosen.to_parquet(manifest)
        job = Job(name, str(folder_of(given, scratch)), str(manifest), str(place), epochs, given.network)
        return measuring.run(f"bench.{module}", job)

    original = None if given.skip_original else run("original", "original", compared, given.original_epochs)
    ours = run("ours", "ours", compared, given.epochs)
    inference = run("inference", "one photo", compared, given.epochs, ours["package"])
    steps = [run("growth", f"{len(part):,} photos", part, given.epochs) for part in sizes(everything, given.growth)]
    settings = {"network": given.network, "image_size": Settings(network=given.network).image_size}
    return {"original": original, "ours": ours, "inference": inference, "growth": steps, "settings": settings}


def sizes(everything: pd.DataFrame, counts: Sequence[int]) -> list[pd.DataFrame]:
    """Parts of growing size, as far as the photos reach."""
    parts = [photos.choose(everything, per_source=n // len(SOURCES), seed=Settings().seed) for n in sorted(counts)]
    return [part for part, before in zip(parts, [[], *parts], strict=False) if len(part) > len(before)]


def folder_of(given: argparse.Namespace, scratch: Path) -> Path:
    return given.photos.resolve() if given.photos else scratch / "photos"


if __name__ == "__main__":
    main()
