"""The trials of a search, as people see them: nested runs in MLflow, and a picture of all of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import mlflow
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient
from numpy.typing import NDArray

from include.model.hyperparameters import Hyperparameters
from include.model.tracking import DATASET_TAG, EXPERIMENT, connect

SEARCH_TAG, TRIAL_TAG, PARENT_TAG, NOTE_TAG = "search", "trial", "mlflow.parentRunId", "mlflow.note.content"


@dataclass(frozen=True)
class Trial:
    """One training and what came of it: the weighted `kind_loss` of each val photo, float64 (photos,), and the L2
    penalty of the head.
    """

    values: Hyperparameters
    losses: NDArray[np.float64]
    penalty: float

    @property
    def val_loss(self) -> float:
        """With the penalty, as training watches it."""
        return float(self.losses.mean()) + self.penalty


def log_trials(dataset: str, search: str, trials: Sequence[Trial], chosen: Hyperparameters, why: str) -> None:
    """One run for the search, and inside it one for each trial; said again, nothing is added twice."""
    client = connect()
    experiment = mlflow.set_experiment(EXPERIMENT).experiment_id
    parent = _run(client, experiment, f"tuning on dataset {dataset[:8]}", {SEARCH_TAG: search, DATASET_TAG: dataset})
    began = client.get_run(parent).info.start_time
    for number, trial in enumerate(trials):
        tags = {SEARCH_TAG: search, TRIAL_TAG: f"{number:02}", PARENT_TAG: parent}
        _log_trial(client, _run(client, experiment, f"trial {number:02}", tags), trial, began)
    client.set_tag(parent, NOTE_TAG, f"Chosen: {why}. {chosen}")
    client.log_figure(parent, draw_trials(trials, chosen), "tuning/trials.png")
    client.set_terminated(parent)


def _log_trial(client: MlflowClient, run: str, trial: Trial, began: int) -> None:
    """MLflow keeps a point once by its name, step, time and value: so the time is that of the search."""
    if client.get_run(run).info.status == "FINISHED":
        return
    metrics = {"val_loss": trial.val_loss, "val_kind_loss": float(trial.losses.mean()), "penalty": trial.penalty}
    points = [Metric(name, value, began, 0) for name, value in metrics.items()]
    client.log_batch(run, points, [Param(name, str(value)) for name, value in asdict(trial.values).items()])
    client.set_terminated(run)


def draw_trials(trials: Sequence[Trial], chosen: Hyperparameters) -> Figure:
    """Parallel coordinates: a line for each trial, through its values to the loss that it reached."""
    columns = {name: [asdict(trial.values)[name] for trial in trials] for name in asdict(chosen)}
    columns["loss on val"] = [float(trial.losses.mean()) for trial in trials]
    columns["with penalty"] = [trial.val_loss for trial in trials]
    heights = np.array([_heights(column) for column in columns.values()])
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, trial in enumerate(trials):
        axes.plot(heights[:, number], **_style(trial.values, chosen, worse=heights[-1, number]))
    _label(axes, columns)
    axes.set_title(f"{len(trials)} trials", loc="left")
    lines = {label: line for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    axes.legend(lines.values(), lines.keys(), loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)
    return figure


def _style(values: Hyperparameters, chosen: Hyperparameters, *, worse: float) -> dict[str, Any]:
    """How a line is drawn; ``worse`` is 0 for the lowest loss of all and 1 for the highest."""
    if values == Hyperparameters():
        label = "the defaults, chosen" if values == chosen else "the defaults"
        return {"color": "#1b1f24", "linestyle": "--", "linewidth": 2.5, "zorder": 4, "label": label}
    if values == chosen:
        return {"color": "#d9480f", "linewidth": 2.5, "zorder": 3, "label": "chosen"}
    label = "other trials, darker with a lower loss"
    return {"color": "#1c5fa8", "alpha": 0.9 - 0.7 * worse, "linewidth": 1.3, "zorder": 2, "label": label}


def _label(axes: Axes, columns: Mapping[str, Sequence[float]]) -> None:
    """An upright line for each column, with its name below and its lowest and highest value at the ends."""
    axes.set_xticks(range(len(columns)), [name.replace("_", " ") for name in columns])
    axes.tick_params(length=0, pad=16)
    axes.set(yticks=[], ylim=(-0.02, 1.12), xlim=(-0.3, len(columns) - 0.7))
    axes.spines[:].set_visible(False)
    for place, values in enumerate(columns.values()):
        axes.plot([place, place], [0, 1], color="#c4c9cf", linewidth=1, zorder=1)
        axes.text(place, -0.03, f"{min(values):.4g}", ha="center", va="top", fontsize=8)
        axes.text(place, 1.03, f"{max(values):.4g}", ha="center", va="bottom", fontsize=8)


def _heights(values: Sequence[float]) -> list[float]:
    """Each value's place between the lowest (0) and the highest (1); by its logarithm where they lie far apart."""
    low, high = min(values), max(values)
    if low > 0 and high > 3 * low:
        return _heights([math.log(value / low) for value in values])
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]


def _run(client: MlflowClient, experiment: str, name: str, tags: dict[str, str]) -> str:
    """The id of the run with these tags; it is made where there is none."""
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    for run in client.search_runs([experiment], query):
        if TRIAL_TAG in tags or TRIAL_TAG not in run.data.tags:
            return str(run.info.run_id)
    return str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)
