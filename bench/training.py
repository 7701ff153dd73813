"""Compares the original recipe, `scratch` and the default: training, one photo, growth; writes docs/benchmarks.md.

python -m bench.training [--photos FOLDER] [--held-out FOLDER] [--help]

This process loads neither photos nor TensorFlow; each measurement runs in a child process, one at a time.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from bench import measurement, photos
from bench.document import compose, spell
from bench.machine import describe_machine
from bench.measurement import Job, say
from bench.question import SOURCES
from include.errors import DatasetError
from include.images.synthetic import PER_SOURCE
from include.records import SPLITS
from include.settings import ROOT, Network, Settings

DOCUMENT = ROOT / "docs" / "benchmarks.md"
NETWORKS: dict[str, Network] = {"scratch": "scratch", "default": "efficientnet_lite0"}  # of the product's recipes
ALL = 1_000_000  # photos per source, so that none is left out


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_options(sys.argv[1:] if arguments is None else arguments)
    about = {
        "date": date.today().isoformat(),
        "command": f"`{spell('bench.training', options.all)}`",
        **describe_machine(),
    }
    with tempfile.TemporaryDirectory() as scratch:
        all_photos, compared = list_photos(options, Path(scratch))
        counts = ", ".join(f"{sum(compared['split'] == split):,} {split}" for split in SPLITS)
        origin = "a folder of photos" if options.photos else "drawings of our own code"
        about["photos"] = f"{origin}: {len(compared):,} for all recipes ({counts})"
        elsewhere = make_held_out_lake(options, compared, Path(scratch))
        results = measure(options, all_photos, compared, elsewhere, Path(scratch))
    page = compose(results, about=about, drawn=not options.photos)
    options.out.write_text(page)
    print(page)
    say(f"written to {options.out}")


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, and under ``all`` the arguments as they were given."""
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help=f"a folder with {', '.join(SOURCES)} in it; default: drawings")
    parser.add_argument("--held-out", type=Path, help="such a folder from elsewhere, to measure the models on as well")
    parser.add_argument("--photos-per-source", type=int, help="for all recipes; default: as many as a run of the DAG")
    parser.add_argument("--epochs", type=int, default=Settings(network="scratch").epochs, help="of scratch")
    parser.add_argument("--original-epochs", type=int, default=10)
    parser.add_argument("--skip", nargs="*", choices=["original", "scratch"], default=[], help="for a quick look")
    parser.add_argument("--growth", type=int, nargs="*", default=[1000, 2000, 4000, 8000], help="numbers of photos")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    options = parser.parse_args(arguments)
    default = Settings().images_per_source if options.photos else PER_SOURCE
    options.photos_per_source = options.photos_per_source or default
    options.all = list(arguments)
    return options


def list_photos(options: argparse.Namespace, scratch: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All photos that any measurement needs, and those that the recipes are compared on."""
    per_source = max(options.photos_per_source, *(count // len(SOURCES) for count in options.growth), 0)
    folder = options.photos.resolve() if options.photos else scratch / "photos"
    if not options.photos:
        say(f"drawing {per_source:,} pictures of each source")
        photos.draw_photos(folder, per_source=per_source)
    seed = Settings().seed
    all_photos = photos.list_photos(folder, per_source=per_source, seed=seed)
    compared = photos.sample(all_photos, per_source=options.photos_per_source, seed=seed)
    photos.check_splits(compared)
    return all_photos, compared


def make_held_out_lake(options: argparse.Namespace, compared: pd.DataFrame, scratch: Path) -> str:
    """The folder of a lake with the photos from elsewhere that are not among the others; "" if there are none.

    Raises DatasetError if they cannot measure a model.
    """
    if not options.held_out:
        return ""
    others = photos.list_photos(options.held_out.resolve(), per_source=ALL, seed=Settings().seed)
    others = others[~others["sha256"].isin(compared["sha256"])]
    if others["label"].nunique() < 2:
        problem = f"without the photos of {options.photos}, {options.held_out} does not have both labels"
        raise DatasetError(f"{problem}: give other photos")
    return str(photos.make_lake(others, scratch / "elsewhere"))


def measure(
    options: argparse.Namespace, all_photos: pd.DataFrame, compared: pd.DataFrame, elsewhere: str, scratch: Path
) -> dict[str, Any]:
    """The results of the child processes: ``recipes`` by name, ``inference``, ``growth``; and the ``settings`` that
    the page names.
    """

    def run(recipe: str, name: str, chosen: pd.DataFrame, held_out: str = "") -> dict[str, Any]:
        network = NETWORKS.get(recipe, "scratch")
        epochs = {"original": options.original_epochs, "scratch": options.epochs}
        folder = scratch / name.replace(" ", "-")
        lake = photos.make_lake(chosen, folder / "lake")
        at_most = epochs.get(recipe, Settings(network=network).epochs)
        job = Job(name, str(lake), str(folder / "state"), network, at_most, held_out)
        return measurement.run("bench.product" if recipe in NETWORKS else "bench.original", job)

    names = [name for name in ("original", *NETWORKS) if name not in options.skip]
    recipes = {name: run(name, name, compared, elsewhere) for name in names}
    one_photo = Job("one photo", str(scratch / "default" / "lake"), recipes["default"]["package"])
    inference = measurement.run("bench.inference", one_photo)
    growth = [
        recipes["default"] if len(subset) == len(compared) else run("default", f"{len(subset):,} photos", subset)
        for subset in growing_subsets(all_photos, options.growth)
    ]
    settings = Settings(network="scratch").model_dump(include={"image_size", "tune_trials"})
    return {"recipes": recipes, "inference": inference, "growth": growth, "settings": settings}


def growing_subsets(all_photos: pd.DataFrame, counts: Sequence[int]) -> list[pd.DataFrame]:
    """Subsets of about these sizes, each larger than the one before, until all photos are in."""
    seed = Settings().seed
    subsets = [photos.sample(all_photos, per_source=count // len(SOURCES), seed=seed) for count in sorted(counts)]
    return [subset for subset, before in zip(subsets, [[], *subsets], strict=False) if len(subset) > len(before)]


if __name__ == "__main__":
    main()
