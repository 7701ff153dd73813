"""Our recipe, by the product's own code. `python -m bench.ours JOB`, by bench.training.

It leaves a package of the model, as the registry keeps it, in the job's scratch folder.
"""

import time
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from bench.judging import judge
from bench.measuring import Curve, Job, peak_bytes, tell
from include.lake.local import LocalStore
from include.model.checkpoints import Checkpoints
from include.model.evaluation import cat_probability
from include.model.extractor import SIZE, fit_extractor
from include.model.fitting import fit
from include.model.hyperparameters import Hyperparameters
from include.model.packaging import save_package
from include.model.pixels import Pixels, load_pixels
from include.model.scoring import score
from include.model.starting import Start, begin_with, starting_point
from include.records import Figures
from include.release.candidate import HeldOut, choose
from include.settings import Settings


def main() -> None:
    job = Job.mine()
    photos = pd.read_parquet(job.manifest)
    loaded, pixels = load(job, photos)
    curve = Curve(job)
    network = fit(pixels, photos, epochs=job.epochs, start=start(job, photos), **how(job, curve))
    assert network is not None  # whoever has checkpoints gets one
    measured = {"load_seconds": loaded, "trained_on": int((photos["side"] == "train").sum()), "epochs": curve.epochs}
    figures, found = evaluate(network, pixels, photos, Settings(network=job.network))
    tell(measured | found | {"peak_bytes": peak_bytes(), "package": str(package(network, figures, Path(job.scratch)))})


def load(job: Job, photos: pd.DataFrame) -> tuple[float, Pixels]:
    """Decode all photos into a fresh cache; the seconds that it took, and the photos."""
    began = time.perf_counter()
    size = Settings(network=job.network).image_size
    pixels = load_pixels(LocalStore(Path(job.photos)), photos, folder=Path(job.scratch) / "pixels", size=size)
    return time.perf_counter() - began, pixels


def start(job: Job, photos: pd.DataFrame) -> Start:
    """What the first run on a lake begins with: an extractor that it trains itself, which counts as training."""
    settings, lake = Settings(network=job.network), LocalStore(Path(job.photos))
    if settings.network == "mobilenet":
        return starting_point(lake, settings)
    train = photos[photos["side"] == "train"]
    pixels = load_pixels(lake, train, folder=Path(job.scratch) / "pixels", size=SIZE)
    return begin_with(fit_extractor(pixels, train, seed=settings.seed), name="bench")


def how(job: Job, curve: Curve) -> dict[str, Any]:
    """How the task `train` trains, where nothing was tuned; the curve is told of each epoch."""
    settings = Settings(network=job.network)
    return {
        "settings": settings,
        "hyperparameters": Hyperparameters.of(settings),
        "checkpoints": Checkpoints(Path(job.scratch) / "checkpoints"),
        "tell": lambda _, figures: curve.add(figures["val_average_precision"]),
    }


def evaluate(
    network: keras.Model, pixels: Pixels, photos: pd.DataFrame, settings: Settings
) -> tuple[Figures, dict[str, Any]]:
    """As the task `evaluate` does it: the figures of the verdict, and how the network does on the test side."""
    held_out = score_held_out(network, pixels, photos)
    figures, _ = choose(held_out, settings)
    test = (held_out.table["side"] == "test").to_numpy(bool)
    probability = cat_probability(held_out.logits[test], temperature=figures.temperature)
    return figures, judge(held_out.table[test], probability, threshold=figures.threshold)


def score_held_out(network: keras.Model, pixels: Pixels, photos: pd.DataFrame) -> HeldOut:
    """Those of the photos that did not train, and what the network says of them."""
    held_out = (photos["side"] != "train").to_numpy(bool)
    table = photos[held_out].reset_index(drop=True)
    return HeldOut(table, score(network, pixels.subset(held_out), table))


def package(network: keras.Model, figures: Figures, folder: Path) -> Path:
    """The model as the registry keeps it, for the measurement of one photo at a time."""
    network.save(folder / "network.keras")
    return save_package(folder, folder / "network.keras", figures)


if __name__ == "__main__":
    main()
