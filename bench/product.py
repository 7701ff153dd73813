"""The recipes of the product, `scratch` and the default. `python -m bench.product JOB`, by bench.training.

The job's scratch folder keeps a package of the model, as the registry has it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from bench.lakes import RUN, collect
from bench.measurement import EpochClock, Job, Stopwatch, peak_bytes, return_result
from bench.model_metrics import model_metrics
from bench.photos import read_manifest
from bench.question import QUESTION
from include.dataset.manifest import MANIFEST
from include.evaluation.metrics import positive_probability
from include.evaluation.predict import predict_holdout
from include.ingestion.base_sets import claim_lake
from include.lake import layout
from include.lake.formats import write_table
from include.lake.local import LocalStore
from include.params import RetrainParams
from include.promotion.evaluate import fit_rule
from include.records import DecisionRule
from include.registry.package import save_package
from include.settings import Settings
from include.training.checkpoints import Checkpoints
from include.training.fit import fit, score
from include.training.head import build_served_network
from include.training.hyperparameters import read_chosen
from include.training.mlflow_runs import connect
from include.training.pixel_cache import load_pixels
from include.training.plan import fit_default_head, from_scratch
from include.tuning.tune import tune

DATASET = "bench"  # in place of the manifest's digest


def main() -> None:
    job, settings = Job.from_argument(), Settings()
    store, manifest = LocalStore(Path(job.lake)), read_manifest(job.lake)
    params = replace(settings.retrain_params, epochs=job.epochs)
    train = train_scratch if settings.network == "scratch" else train_default
    network, result = train(job, store, manifest, settings, params)
    holdout = predict_holdout(store, manifest, network, settings, params)
    chosen = read_chosen(store, RUN, DATASET)
    rule, _ = fit_rule(store, RUN, manifest, holdout, chosen, settings, params)
    test = holdout.of("test")
    probability = positive_probability(test.values, rule)
    result["test"] = model_metrics(test.photos, probability, threshold=rule.threshold)
    result |= {"photos": len(manifest), "threshold": rule.threshold, "peak_bytes": peak_bytes()}
    if job.elsewhere:
        result["elsewhere"] = metrics_elsewhere(job, network, rule)
    return_result(result | {"package": str(package(network, rule, Path(job.scratch)))})


def train_scratch(
    job: Job, store: LocalStore, manifest: pd.DataFrame, settings: Settings, params: RetrainParams
) -> tuple[keras.Model, dict[str, Any]]:
    """Decode all photos, then train as the task `train` does."""
    watch = Stopwatch(job)
    pixels = load_pixels(store, manifest, size=settings.image_size)
    seconds, clock = {"loading": watch.lap("decoding")}, EpochClock(job)
    network = fit(
        pixels,
        manifest,
        from_scratch(settings, epochs=params.epochs),
        checkpoints=Checkpoints(Path(job.scratch) / "checkpoints"),
        on_epoch=lambda _, metrics: clock.end_epoch(metrics["val_average_precision"]),
    )
    seconds["training"] = clock.ends[-1]
    return network, {"seconds": seconds, "epoch_ends": clock.ends}


def train_default(
    job: Job, store: LocalStore, manifest: pd.DataFrame, settings: Settings, params: RetrainParams
) -> tuple[keras.Model, dict[str, Any]]:
    """Facts and embeddings of all photos, then the tasks `tune` and `train`: each for the first time."""
    claim_lake(store, settings)
    client = connect(settings)
    client.create_experiment(client.name, artifact_location=f"{job.scratch}/artifacts")  # its database takes seconds
    write_table(store, layout.manifest(DATASET), manifest[MANIFEST])
    watch, seconds = Stopwatch(job), {}
    collect(store, settings)
    seconds["embeddings"] = watch.lap("embeddings")
    tune(store, RUN, DATASET, params, settings=settings)
    seconds["tuning"] = watch.lap("tuning")
    head, curves = fit_default_head(store, manifest, read_chosen(store, RUN, DATASET), settings, epochs=params.epochs)
    network = build_served_network(head)
    seconds["head"] = watch.lap(f"the head with {len(curves)} epochs")
    seconds["training"] = sum(seconds.values())
    return network, {"seconds": seconds}


def metrics_elsewhere(job: Job, network: keras.Model, rule: DecisionRule) -> dict[str, Any]:
    """The metrics on photos from other collections; like the server, the network gets pixels."""
    photos = read_manifest(job.elsewhere)
    pixels = load_pixels(LocalStore(Path(job.elsewhere)), photos, size=int(network.input_shape[1]))
    probability = positive_probability(score(network, pixels, photos, QUESTION), rule)
    return model_metrics(photos, probability, threshold=rule.threshold)


def package(network: keras.Model, rule: DecisionRule, folder: Path) -> Path:
    """The model as the registry keeps it, for bench.inference."""
    network.save(folder / "network.keras")
    return save_package(folder, folder / "network.keras", rule)


if __name__ == "__main__":
    main()
