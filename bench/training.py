"""The original recipe, `scratch` and the default side by side, one photo, and growth; writes docs/benchmarks.md.

python -m bench.training [--photos FOLDER] [--held-out FOLDER] [--help]

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
from include.errors import DatasetError
from include.images.synthetic import PER_SOURCE
from include.records import SOURCES, SPLITS
from include.settings import ROOT, Network, Settings

DOCUMENT = ROOT / "docs" / "benchmarks.md"
NETWORKS: dict[str, Network] = {"scratch": "scratch", "default": "efficientnet_lite0"}  # of the product's recipes
ALL = 1_000_000  # photos of each source, where none is to be left out


def main(arguments: Sequence[str] | None = None) -> None:
    given = read_options(sys.argv[1:] if arguments is None else arguments)
    about = {
        "date": date.today().isoformat(),
        "command": f"`{spell('bench.training', given.all)}`",
        **describe_machine(),
    }
    with tempfile.TemporaryDirectory() as scratch:
        everything, compared = gather(given, Path(scratch))
        counts = ", ".join(f"{sum(compared['split'] == split):,} {split}" for split in SPLITS)
        origin = "a folder of photos" if given.photos else "drawings of our own code"
        about["photos"] = f"{origin}: {len(compared):,} for all recipes ({counts})"
        elsewhere = gather_held_out(given, compared, Path(scratch))
        results = measure(given, everything, compared, elsewhere, Path(scratch))
    page = compose(results, about=about, drawn=not given.photos)
    given.out.write_text(page)
    print(page)
    say(f"written to {given.out}")


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, and under ``all`` the arguments as they were written."""
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help=f"a folder with {', '.join(SOURCES)} in it; without it: drawings")
    parser.add_argument("--held-out", type=Path, help="such a folder with photos from elsewhere, on which to judge")
    parser.add_argument("--photos-per-source", type=int, help="for all recipes; as many as a run of the DAG takes")
    parser.add_argument("--epochs", type=int, default=Settings(network="scratch").epochs, help="of scratch")
    parser.add_argument("--original-epochs", type=int, default=10)
    parser.add_argument("--skip", nargs="*", choices=["original", "scratch"], default=[], help="for a quick look")
    parser.add_argument("--growth", type=int, nargs="*", default=[1000, 2000, 4000, 8000], help="numbers of photos")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    given = parser.parse_args(arguments)
    usual = Settings().images_per_source if given.photos else PER_SOURCE
    given.photos_per_source = given.photos_per_source or usual
    given.all = list(arguments)
    return given


def gather(given: argparse.Namespace, scratch: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All photos that any measurement needs, and those that the recipes are compared on."""
    per_source = max(given.photos_per_source, *(count // len(SOURCES) for count in given.growth), 0)
    folder = given.photos.resolve() if given.photos else scratch / "photos"
    if not given.photos:
        say(f"drawing {per_source:,} pictures of each source")
        photos.draw_photos(folder, per_source=per_source)
    seed = Settings().seed
    everything = photos.list_photos(folder, per_source=per_source, seed=seed)
    compared = photos.choose(everything, per_source=given.photos_per_source, seed=seed)
    photos.check_sides(compared)
    return everything, compared


def gather_held_out(given: argparse.Namespace, compared: pd.DataFrame, scratch: Path) -> str:
    """A lake with the photos from elsewhere, without exact copies of the others; nothing where no folder was given.

    Raises DatasetError where they cannot judge.
    """
    if not given.held_out:
        return ""
    others = photos.list_photos(given.held_out.resolve(), per_source=ALL, seed=Settings().seed)
    others = others[~others["sha256"].isin(compared["sha256"])]
    if others["label"].nunique() < 2:
        raise DatasetError(f"{given.held_out} lacks cats or others that are not in {given.photos}: give other photos")
    return str(photos.place(others, scratch / "elsewhere"))


def measure(
    given: argparse.Namespace, everything: pd.DataFrame, compared: pd.DataFrame, elsewhere: str, scratch: Path
) -> dict[str, Any]:
    """The results of each child, under recipes (by their names), inference and growth; and settings of ours."""

    def run(recipe: str, name: str, chosen: pd.DataFrame, held_out: str = "") -> dict[str, Any]:
        network = NETWORKS.get(recipe, "scratch")
        epochs = {"original": given.original_epochs, "scratch": given.epochs}
        folder = scratch / name.replace(" ", "-")
        lake = photos.place(chosen, folder / "lake")
        number = epochs.get(recipe, Settings(network=network).epochs)
        job = Job(name, str(lake), str(folder / "state"), network, number, held_out)
        return measuring.run("bench.ours" if recipe in NETWORKS else "bench.original", job)

    names = [name for name in ("original", *NETWORKS) if name not in given.skip]
    recipes = {name: run(name, name, compared, elsewhere) for name in names}
    one_photo = Job("one photo", str(scratch / "default" / "lake"), recipes["default"]["package"])
    inference = measuring.run("bench.inference", one_photo)
    growth = [
        recipes["default"] if len(part) == len(compared) else run("default", f"{len(part):,} photos", part)
        for part in sizes(everything, given.growth)
    ]
    settings = Settings(network="scratch").model_dump(include={"image_size", "tune_trials"})
    return {"recipes": recipes, "inference": inference, "growth": growth, "settings": settings}


def sizes(everything: pd.DataFrame, counts: Sequence[int]) -> list[pd.DataFrame]:
    """Parts of growing size, as far as the photos reach."""
    parts = [photos.choose(everything, per_source=n // len(SOURCES), seed=Settings().seed) for n in sorted(counts)]
    return [part for part, before in zip(parts, [[], *parts], strict=False) if len(part) > len(before)]


if __name__ == "__main__":
    main()
