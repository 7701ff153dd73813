"""Network + decoder + figures -> one MLflow pyfunc: photo bytes in, verdict out."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from include.errors import NotAPhoto
from include.images.decoding import decode, decode_pixels
from include.model.archive import ADDED_BY_DOWNLOAD, ENTRY
from include.records import Figures

CONTRACT = 2  # raise it when input, output or files of a version change; a server refuses what it does not know
PACKAGES = ("mlflow", "tensorflow", "keras", "pillow", "numpy", "pandas", "pydantic-settings")
COLUMNS = ["probability", "is_cat", "unsure", "threshold", "model_version", "error", "explanation"]
EXPLAIN = "explain"  # the param: also say why, with a picture for each photo

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.binary, "image")]),
    outputs=Schema(
        [
            ColSpec(DataType.double, "probability", required=False),
            ColSpec(DataType.boolean, "is_cat", required=False),
            ColSpec(DataType.boolean, "unsure", required=False),
            ColSpec(DataType.double, "threshold"),
            ColSpec(DataType.string, "model_version"),
            ColSpec(DataType.string, "error", required=False),
            ColSpec(DataType.string, "explanation", required=False),
        ]
    ),
    params=ParamSchema([ParamSpec(EXPLAIN, DataType.boolean, default=False)]),
)


class CatModel(PythonModel):
    """What the model server calls. ``model_version`` is set by whoever loads it: only the registry knows it."""

    model_version = "unregistered"

    def load_context(self, context: Any) -> None:
        from include.model.network import load_network  # TensorFlow: only for those who predict
        from include.model.scoring import as_graph

        network = load_network(context.artifacts["network"])
        self.score = as_graph(network)
        self.figures = Figures(**json.loads(Path(context.artifacts["figures"]).read_text()))
        self.size = int(network.input_shape[1])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A row per photo, with the columns of COLUMNS; a photo that cannot be read has an error and no verdict.

        With the param ``explain`` each verdict has a picture of what spoke for it: a second each on two cores.
        """
        images = model_input["image"]
        photos, errors = self._decode(images)
        probability = np.full(len(errors), np.nan)
        good = [place for place, error in enumerate(errors) if error is None]
        if good:
            probability[good] = self._probabilities(np.stack(photos))
        pictures: list[str | None] = [None] * len(errors)
        for place, photo in zip(good, photos, strict=True) if (params or {}).get(EXPLAIN) else ():
            pictures[place] = self._explain(images.iloc[place], photo)
        return self._verdicts(probability, errors, pictures)

    def _decode(self, images: pd.Series) -> tuple[list[Any], list[str | None]]:
        photos: list[Any] = []
        errors: list[str | None] = []
        for body in images:
            try:
                photos.append(decode_pixels(body if isinstance(body, bytes) else b"", self.size))
                errors.append(None)
            except NotAPhoto as error:
                errors.append(f"{error.reason}: {error}")
        return photos, errors

    def _probabilities(self, photos: np.ndarray) -> np.ndarray:
        from include.model.evaluation import cat_probability

        return cat_probability(self.score(photos), temperature=self.figures.temperature)

    def _explain(self, body: bytes, photo: np.ndarray) -> str:
        from include.model.explanation import SIDE, explain, lay_over

        return lay_over(decode(body, draft=SIDE), explain(self.score, photo))

    def _verdicts(self, probability: np.ndarray, errors: list[str | None], pictures: list[str | None]) -> pd.DataFrame:
        threshold, unsure = self.figures.threshold, is_unsure(probability, self.figures)
        verdict = {"probability": probability, "is_cat": probability >= threshold, "unsure": unsure}
        table = pd.DataFrame(verdict, dtype=object)
        table.loc[np.isnan(probability)] = None
        # a column of text would turn None into NaN, which is no JSON
        texts = {"error": pd.Series(errors, dtype=object), "explanation": pd.Series(pictures, dtype=object)}
        return table.assign(threshold=threshold, model_version=self.model_version, **texts)[COLUMNS]


def is_unsure(probability: np.ndarray, figures: Figures) -> np.ndarray:
    """Whether a verdict could as well be the other one; bool, shape (photos,)."""
    is_cat = probability >= figures.threshold
    return np.where(is_cat, probability <= figures.unsure_to, probability >= figures.unsure_from)


def save_package(folder: Path, network: Path, figures: Figures) -> Path:
    """Write a model version as MLflow keeps it: a ``.keras`` file, the figures as JSON, and the entry file."""
    figures_file = folder / "figures.json"
    figures_file.write_text(json.dumps(figures.__dict__))
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(ENTRY),
        artifacts={"network": str(network), "figures": str(figures_file)},
        signature=SIGNATURE,
        pip_requirements=[f"{name}=={version(name)}" for name in PACKAGES],
    )
    return folder / "model"


def tree_sha256(folder: Path) -> str:
    """One sum over the names and bytes of all files of a version: what was trained is what is served."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in ADDED_BY_DOWNLOAD):
        name = path.relative_to(folder).as_posix().encode()
        digest.update(b"%d %s %d\n" % (len(name), name, path.stat().st_size))
        digest.update(path.read_bytes())
    return digest.hexdigest()
