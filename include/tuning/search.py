"""The search for hyperparameters: keras-tuner's random search in an order that follows from the seed.

Trials share nothing but that order. A killed search therefore begins again at its first trial, and finished
trials return their stored result: no state of keras-tuner's is read again, for a kill can tear it.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.oracles import RandomSearchOracle

from include.backbone import VERSION
from include.dataset.examples import Examples, load_train_and_val
from include.dataset.manifest import read_manifest
from include.errors import TuningError
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, write_json
from include.lake.local import LocalStore
from include.lake.progress import Progress
from include.settings import Settings
from include.training.fingerprint import fingerprint
from include.training.head import fit_head
from include.training.hyperparameters import Hyperparameters
from include.training.losses import partial_label_loss
from include.training.mlflow_runs import connect
from include.tuning import CODE, PACKAGES
from include.tuning.mlflow_trials import Trial, log_trials

log = logging.getLogger(__name__)

Run = Callable[[Hyperparameters], Trial]


def search_space(space: keras_tuner.HyperParameters) -> Hyperparameters:
    """What may be tuned, and the values that ``space`` has for it now.

    Within these ranges a head is done after the usual 20 epochs. The L2 penalty is not among them: val resembles the
    photos that train, and cannot see what a weak penalty costs on photos from elsewhere.
    """
    return Hyperparameters(
        learning_rate=space.Float("learning_rate", 3e-3, 2e-2, sampling="log"),
        batch_size=space.Choice("batch_size", [128, 256, 512]),
        label_smoothing=space.Float("label_smoothing", 0.0, 0.005, step=0.0025),
        input_dropout=space.Float("input_dropout", 0.0, 0.4, step=0.1),
        positive_weight=space.Float("positive_weight", 0.7, 1.4, sampling="log"),
    )


class Oracle(RandomSearchOracle):
    """Random search (Bergstra & Bengio, JMLR 2012) that begins with the ``known`` values, however long they take, and
    begins nothing else after ``deadline`` on the monotonic clock.
    """

    def __init__(self, known: Sequence[Hyperparameters], *, deadline: float, **options: Any) -> None:
        super().__init__(**options)
        self.known, self.deadline = known, deadline

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if len(self.trials) < len(self.known):
            return {"status": "RUNNING", "values": asdict(self.known[len(self.trials)])}
        return {"status": "STOPPED"} if time.monotonic() > self.deadline else dict(super().populate_space(trial_id))


class Search(keras_tuner.Tuner):
    """Runs the oracle's trials; ``ended`` holds them in their order."""

    def __init__(self, run: Run, **options: Any) -> None:
        super().__init__(**options)
        self.run, self.ended = run, list[Trial]()

    def run_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> float:
        """Anything but a fatal error keras-tuner would take for a fault of the values, and go on."""
        try:
            self.ended.append(self.run(search_space(trial.hyperparameters)))
        except Exception as error:
            raise keras_tuner.errors.FatalError from error
        return self.ended[-1].val_loss


def find_best(
    store: ObjectStore, run: str, digest: str, known: Sequence[Hyperparameters], *, epochs: int, settings: Settings
) -> tuple[Hyperparameters, str]:
    """Search on one dataset version, after the ``known`` values, and show all trials in MLflow; the values to train
    with, and why. The defaults must be known. A killed search resumes, and gives the same result unless the time
    limit cuts it.
    """
    name = search_name(settings, digest, known, epochs=epochs)
    folder, count = settings.home / "tuning" / name, max(settings.tune_trials, len(known))
    progress = Progress(store, layout.progress(run, "tune"), total=count, unit="trials")
    train, val = load_train_and_val(store, read_manifest(store, digest), settings.question, settings.embedding_cache)

    def run_once(values: Hyperparameters) -> Trial:
        trial = _kept(LocalStore(folder), values, lambda: _run(train, val, values, epochs=epochs, settings=settings))
        progress.advance()
        return trial

    trials = search(run_once, known, count=count, folder=folder, settings=settings)
    if len(trials) < count:
        text = "%d of %d trials ran within CAT_TUNE_SECONDS (%g): raise it for a whole search"
        log.warning(text, len(trials), count, settings.tune_seconds)
    chosen, reason = choose_trial(trials)
    log_trials(connect(settings), digest, name, trials, chosen, reason)
    return chosen, reason


def search(run: Run, known: Sequence[Hyperparameters], *, count: int, folder: Path, settings: Settings) -> list[Trial]:
    """Run ``count`` trials at the most, those of the ``known`` values first. An error in one ends the search."""
    space = keras_tuner.HyperParameters()
    search_space(space)
    oracle = Oracle(
        known,
        deadline=time.monotonic() + settings.tune_seconds,
        objective=keras_tuner.Objective("val_loss", "min"),
        max_trials=count,
        seed=settings.seed + 1,  # keras-tuner takes 0 for no seed
        hyperparameters=space,
    )
    tuner = Search(run, oracle=oracle, directory=folder, project_name="keras-tuner", overwrite=True)
    try:
        tuner.search(verbose=0)
        return tuner.ended
    except keras_tuner.errors.FatalError as error:
        fault = error.__cause__ or error
    raise fault


def choose_trial(trials: Sequence[Trial]) -> tuple[Hyperparameters, str]:
    """The best values if they beat the defaults by more than one standard error of the paired differences over val
    photos, else the defaults; and a sentence that says so.

    A lead must hold with the L2 penalty and without, for either alone can be bought. Large weights, of a head that is
    not done, lower the loss on val and cost recall on photos from elsewhere, which val does not resemble; small ones,
    by smoothed labels or a small weight of positive photos, lower the penalty and raise the loss on val and test alike.
    """
    default = next(trial for trial in trials if trial.values == Hyperparameters())
    leads = [min(default.val_loss - trial.val_loss, (default.losses - trial.losses).mean()) for trial in trials]
    best = int(np.argmax(leads))
    differences = default.losses - trials[best].losses
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    measured = f"{leads[best]:.5f} below their loss, with a standard error of {error:.5f}"
    if leads[best] > error:
        return trials[best].values, f"trial {best:02} of {len(trials)} instead of the defaults: {measured}"
    return default.values, f"the defaults: the best of {len(trials)} trials is only {measured}"


def search_name(settings: Settings, digest: str, known: Sequence[Hyperparameters], *, epochs: int) -> str:
    """Names a search by all that its result depends on."""
    parts = [digest, settings.recipe, VERSION, epochs, [asdict(values) for values in known]]
    return fingerprint(parts, packages=PACKAGES, code=CODE)


def _run(train: Examples, val: Examples, values: Hyperparameters, *, epochs: int, settings: Settings) -> Trial:
    """Train with these values and measure on val, by a loss that knows no label smoothing and no class weights."""
    trained = fit_head(train, val, values, l2_penalty=settings.l2_penalty, epochs=epochs, seed=settings.seed)
    logits = trained(val.embeddings.astype(np.float32))  # `predict` would trace a graph anew for each trial
    losses = np.asarray(partial_label_loss(val.allowed, logits), np.float64) * val.weights.astype(np.float64)
    trial = Trial(values, losses, penalty=float(sum(trained.losses)))
    if not np.isfinite(trial.val_loss):
        raise TuningError(f"{values} gave a loss of {trial.val_loss}: lower CAT_L2_PENALTY ({settings.l2_penalty})")
    return trial


def _kept(results: LocalStore, values: Hyperparameters, run: Callable[[], Trial]) -> Trial:
    """The result of these values, from where it was kept; they run if it was not."""
    key = f"{hashlib.sha256(values.to_json()).hexdigest()[:16]}.json"
    if not results.exists(key):
        trial = run()
        write_json(results, key, {"losses": trial.losses.tolist(), "penalty": trial.penalty})
    kept = read_json(results, key)
    return Trial(values, np.array(kept["losses"]), kept["penalty"])
