"""Model versions score the same photos afresh, through the pyfunc that is served."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.pyfunc import PyFuncModel

from include.errors import ModelError
from include.lake.base import ObjectStore, chunks, read_many
from include.question import Question
from include.records import ModelVersion, VersionScores
from include.registry.versions import download_and_verify, load
from include.training.mlflow_runs import Mlflow

BATCH = 64


@dataclass
class Contender:
    """A version with its verified files and its answers so far; ``problem`` says why it has no more of them."""

    version: ModelVersion
    package: Path | None = None
    model: PyFuncModel | None = None
    problem: str | None = None
    probability: list[np.ndarray] = field(default_factory=list)
    threshold: float = 0.0

    def answer(self, photos: pd.DataFrame) -> None:
        if self.problem or self.model is None:
            return
        try:
            answers = self.model.predict(photos)
        except MemoryError:  # the machine, not the version: to be tried again
            raise
        except Exception as error:  # its files are here and verified: whatever it raises is its own fault
            if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's word for the same
                raise
            self.problem = f"it fails on photos: {str(error)[:200]}"
            return
        self.probability.append(answers["probability"].to_numpy(float))
        self.threshold = float(answers["threshold"].iloc[0])

    def scores(self) -> VersionScores:
        if self.problem:
            return VersionScores(self.version, np.empty(0), 0.0, problem=self.problem)
        return VersionScores(self.version, np.concatenate(self.probability), self.threshold)


def load_contender(client: Mlflow, version: ModelVersion, question: Question, folder: Path) -> Contender:
    """A version that is damaged, missing or of another contract has a ``problem``; errors of network and registry rise.

    ``folder`` is for its files, and must stay while it answers.
    """
    folder.mkdir()
    try:
        package = download_and_verify(client, version, folder, question)
        return Contender(version, package, load(package, version.number))
    except ModelError as error:
        return Contender(version, problem=str(error))


def score_photos(contenders: Sequence[Contender], store: ObjectStore, keys: pd.Series) -> list[VersionScores]:
    """P(positive) of the photos under ``keys`` by each contender. Each photo is read once."""
    for batch in chunks(keys, BATCH):
        photos = pd.DataFrame({"image": list(read_many(store, batch))})
        for contender in contenders:
            contender.answer(photos)
    for contender in contenders:
        contender.model = None  # what comes next needs the memory
    return [contender.scores() for contender in contenders]
