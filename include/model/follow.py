"""``python -m include.model.follow DIGEST --epochs N``: a further worker of a training whose first one is the task.

Each worker finds in ``TF_CONFIG`` who the others are, and reads the same lake; they wait for each other.
"""

import argparse

from include.data.dataset import read_manifest
from include.lake.base import ObjectStore
from include.lake.opening import open_lake
from include.model.fitting import fit
from include.model.hyperparameters import last_best
from include.model.pixels import load_pixels
from include.model.starting import starting_point
from include.settings import Settings


def follow(store: ObjectStore, digest: str, *, epochs: int) -> None:
    """Train beside the first worker, which alone keeps checkpoints and the network."""
    settings = Settings()
    manifest = read_manifest(store, digest)
    pixels = load_pixels(store, manifest, folder=settings.pixel_cache, size=settings.image_size)
    chosen = last_best(store, settings)  # as the task `tune` left them
    start = starting_point(store, settings)
    fit(pixels, manifest, epochs=epochs, settings=settings, hyperparameters=chosen, checkpoints=None, start=start)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Help to train one dataset version.")
    parser.add_argument("digest", help="the dataset version, as the task publish_dataset tells it")
    parser.add_argument("--epochs", type=int, default=Settings().epochs, help="as the run of retrain has it")
    given = parser.parse_args()
    follow(open_lake(), given.digest, epochs=given.epochs)
