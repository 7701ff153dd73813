"""The product's own recipes, `scratch` and the default, by its own code. `python -m bench.ours JOB`, by bench.training.

A package of the model, as the registry keeps it, is left in the job's scratch folder.
"""

from pathlib import Path
from typing import Any

import keras
import pandas as pd

from bench.judging import judge
from bench.lakes import RUN, collect
from bench.measuring import Curve, Job, Stopwatch, give, peak_bytes
from bench.photos import read_manifest
from include.evaluation.metrics import positive_probability
from include.lake import layout
from include.lake.formats import write_table
from include.lake.local import LocalStore
from include.promotion.evaluate import fit_rule, score_held_out
from include.records import DecisionRule, RetrainParams
from include.registry.package import save_package
from include.settings import Settings
from include.training.checkpoints import Checkpoints
from include.training.fit import fit, score
from include.training.head import build_served_network
from include.training.hyperparameters import chosen_for
from include.training.mlflow_runs import EXPERIMENT, connect
from include.training.pixel_cache import load_pixels
from include.training.plan import fit_default_head, from_scratch
from include.tuning.tune import tune

DATASET = "bench"  # stands for the digest of the manifest


def main() -> None:
    job, settings = Job.mine(), Settings()
    store, manifest = LocalStore(Path(job.lake)), read_manifest(job.lake)
    params = RetrainParams.of(settings.model_dump() | {"epochs": job.epochs})
    train = train_scratch if settings.network == "scratch" else train_default
    network, result = train(job, store, manifest, settings, params)
    held_out = score_held_out(store, manifest, network, settings, params)
    rule, _ = fit_rule(store, RUN, manifest, held_out, settings, params)
    of_test = (held_out.photos["split"] == "test").to_numpy(bool)
    probability = positive_probability(held_out.logits[of_test], rule)
    result["test"] = judge(held_out.photos[of_test], probability, threshold=rule.threshold)
    result |= {"photos": len(manifest), "threshold": rule.threshold, "peak_bytes": peak_bytes()}
    if job.elsewhere:
        result["elsewhere"] = judge_elsewhere(job, network, rule)
    give(result | {"package": str(package(network, rule, Path(job.scratch)))})


def train_scratch(
    job: Job, store: LocalStore, manifest: pd.DataFrame, settings: Settings, params: RetrainParams
) -> tuple[keras.Model, dict[str, Any]]:
    """Decode all photos, then train as the task `train` does."""
    watch = Stopwatch(job)
    pixels = load_pixels(store, manifest, size=settings.image_size)
    seconds, curve = {"loading": watch.lap("decoding")}, Curve(job)
    network = fit(
        pixels,
        manifest,
        from_scratch(settings, epochs=params.epochs),
        checkpoints=Checkpoints(Path(job.scratch) / "checkpoints"),
        tell=lambda _, losses: curve.add(losses["val_average_precision"]),
    )
    seconds["training"] = curve.ends[-1]
    return network, {"seconds": seconds, "epoch_ends": curve.ends}


def train_default(
    job: Job, store: LocalStore, manifest: pd.DataFrame, settings: Settings, params: RetrainParams
) -> tuple[keras.Model, dict[str, Any]]:
    """Facts and features of all photos, then the tasks `tune` and `train`, all of it for the first time."""
    connect().create_experiment(EXPERIMENT, artifact_location=f"{job.scratch}/artifacts")  # its database takes seconds
    write_table(store, layout.manifest(DATASET), manifest)
    watch, seconds = Stopwatch(job), {}
    collect(store, settings)
    seconds["features"] = watch.lap("features")
    tune(store, RUN, DATASET, params, settings=settings)
    seconds["tuning"] = watch.lap("tuning")
    head, curves = fit_default_head(store, manifest, chosen_for(store, RUN), settings, epochs=params.epochs)
    network = build_served_network(head)
    seconds["head"] = watch.lap(f"the head with {len(curves)} epochs")
    seconds["training"] = sum(seconds.values())
    return network, {"seconds": seconds}


def judge_elsewhere(job: Job, network: keras.Model, rule: DecisionRule) -> dict[str, Any]:
    """Photos from other sources, by the network as it is served: pixels in."""
    photos = read_manifest(job.elsewhere)
    pixels = load_pixels(LocalStore(Path(job.elsewhere)), photos, size=int(network.input_shape[1]))
    probability = positive_probability(score(network, pixels, photos), rule)
    return judge(photos, probability, threshold=rule.threshold)


def package(network: keras.Model, rule: DecisionRule, folder: Path) -> Path:
    """The model as the registry keeps it, for the measurement of one photo at a time."""
    network.save(folder / "network.keras")
    return save_package(folder, folder / "network.keras", rule)


if __name__ == "__main__":
    main()
