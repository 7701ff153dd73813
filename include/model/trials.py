"""The trials of a search, as people see them: nested runs in MLflow, and a picture of all of them."""

import math
from collections.abc import Sequence
from typing import Any

import mlflow
import numpy as np
from keras_tuner.engine.trial import Trial
from matplotlib.figure import Figure
from mlflow.tracking import MlflowClient

from include.model.tracking import DATASET_TAG, EXPERIMENT, connect

SEARCH_TAG, TRIAL_TAG, PARENT_TAG = "search", "trial", "mlflow.parentRunId"
EPOCHS = "tuner/epochs"


def log_trials(dataset: str, search: str, trials: Sequence[Trial]) -> None:
    """One run for the search, and inside it one for each ended trial; said again, nothing is added twice."""
    client = connect()
    experiment = mlflow.set_experiment(EXPERIMENT).experiment_id
    ended = [trial for trial in trials if trial.status == "COMPLETED"]
    parent = _run(client, experiment, f"tuning on dataset {dataset[:8]}", {SEARCH_TAG: search, DATASET_TAG: dataset})
    for trial in ended:
        name = {SEARCH_TAG: search, TRIAL_TAG: trial.trial_id, PARENT_TAG: parent}
        child = _run(client, experiment, f"trial {trial.trial_id}", name)
        for key, value in trial.hyperparameters.values.items():
            client.log_param(child, key, value)
        for metric in trial.metrics.metrics:
            client.log_metric(child, metric, trial.metrics.get_best_value(metric))
        client.set_terminated(child)
    client.log_figure(parent, draw_trials(ended), "tuning/trials.png")
    client.set_terminated(parent)


def draw_trials(trials: Sequence[Trial]) -> Figure:
    """Parallel coordinates: a line for each trial, through its values to the loss that it reached."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    names = sorted({name for trial in trials for name in _values(trial)})
    places = {name: _places([_values(trial)[name] for trial in trials]) for name in names}
    losses = [trial.score for trial in trials]
    order = np.argsort([-loss for loss in losses])  # the best are drawn last, above the others
    for number in order:
        shade = _places(losses)[number]
        axes.plot(
            range(len(names) + 1), [*(places[name][number] for name in names), shade],
            color=(0.12 + 0.6 * shade, 0.37 + 0.3 * shade, 0.66), alpha=1 - 0.7 * shade, linewidth=2 - shade,
        )  # fmt: skip
    ends = [_ends([_values(trial)[name] for trial in trials]) for name in names]
    labels = [
        f"{name}\n{low} to {high}" for name, (low, high) in zip([*names, "loss"], [*ends, _ends(losses)], strict=True)
    ]
    axes.set_xticks(range(len(names) + 1), labels, fontsize=8)
    axes.set_yticks([0, 1], ["lowest", "highest"])
    axes.set_title(f"{len(trials)} trials; the best loss is {min(losses):.3f}", loc="left")
    for place in range(len(names) + 1):
        axes.axvline(place, color="#d5d8dc", linewidth=1, zorder=0)
    return figure


def _run(client: MlflowClient, experiment: str, name: str, tags: dict[str, str]) -> str:
    """The id of the run with these tags; it is made where there is none."""
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    for found in client.search_runs([experiment], query):
        if TRIAL_TAG in tags or TRIAL_TAG not in found.data.tags:
            return str(found.info.run_id)
    return str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)


def _values(trial: Trial) -> dict[str, Any]:
    """What was tuned, and for how many epochs; not Hyperband's own notes."""
    kept = {name: value for name, value in trial.hyperparameters.values.items() if not name.startswith("tuner/")}
    return kept | {"epochs": trial.hyperparameters.values[EPOCHS]}


def _places(values: Sequence[float]) -> list[float]:
    """Each value's place between the lowest (0) and the highest (1); by its logarithm where they lie far apart."""
    low, high = min(values), max(values)
    if low > 0 and high > 5 * low:
        return _places([math.log(value / low) for value in values])
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]


def _ends(values: Sequence[float]) -> tuple[str, str]:
    return f"{min(values):.2g}", f"{max(values):.2g}"
