"""Network + decoder + decision rule -> one MLflow pyfunc: photo bytes in, verdict out."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array

from include.errors import NotAPhoto
from include.images.decoded import Decoded, decode_for_network
from include.records import DecisionRule
from include.registry.package_check import ADDED_BY_DOWNLOAD, ENTRY

PACKAGES = ("mlflow", "tensorflow", "keras", "pillow", "numpy", "pandas", "pydantic-settings")
EXPLAIN = "explain"  # the param: also say why, with a picture for each photo
OUTPUT = [
    ColSpec(DataType.double, "probability", required=False),
    ColSpec(DataType.boolean, "is_positive", required=False),
    ColSpec(DataType.boolean, "unsure", required=False),
    ColSpec(DataType.double, "threshold"),
    ColSpec(DataType.string, "model_version"),
    ColSpec(DataType.string, "error", required=False),
    ColSpec(DataType.string, "explanation", required=False),
    ColSpec(Array(DataType.double), "shares", required=False),
]
COLUMNS = [str(column.name) for column in OUTPUT]

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.binary, "image")]),
    outputs=Schema(OUTPUT),
    params=ParamSchema([ParamSpec(EXPLAIN, DataType.boolean, default=False)]),
)


class CatModel(PythonModel):
    """What the model server calls. ``load`` sets ``model_version``, which only the registry knows."""

    model_version = "unregistered"

    def load_context(self, context: Any) -> None:
        from include.backbone.features import freeze_outputs  # TensorFlow: only for those who predict
        from include.registry.explanation import SIDE, linear_part, with_feature_map
        from include.training.safe_keras import load_network

        network = load_network(context.artifacts["network"])
        self.rule = DecisionRule.of(json.loads(Path(context.artifacts["decision_rule"]).read_text()))
        self.linear_part, self.forward = linear_part(network), freeze_outputs(with_feature_map(network))
        self.size, self.preview = int(network.input_shape[1]), SIDE

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A row per photo, with the columns of COLUMNS; a photo that cannot be read has an error and no verdict.

        With the param ``explain`` each verdict has a picture of what speaks for it.
        """
        explain = bool((params or {}).get(EXPLAIN))
        return self.judge([self._decode(body, explain=explain) for body in model_input["image"]], explain=explain)

    def judge(self, photos: Sequence[Decoded | NotAPhoto], *, explain: bool) -> pd.DataFrame:
        """``predict`` of photos that `decode_for_network` has decoded already, or could not.

        Their pixels have ``size``; to be explained, each also needs a preview of the side ``preview``.
        """
        good = [photo.pixels for photo in photos if isinstance(photo, Decoded)]
        verdicts = self._verdicts(np.stack(good)) if good else iter(())
        rows = []
        for photo in photos:
            if isinstance(photo, NotAPhoto):
                probability, is_positive, unsure, shares = None, None, None, None
                error, picture = f"{photo.reason}: {photo}", None
            else:
                probability, is_positive, unsure, shares, feature_map = next(verdicts)
                error, picture = None, self._explain(photo, feature_map) if explain else None
            rule = self.rule.threshold, self.model_version
            rows.append((probability, is_positive, unsure, *rule, error, picture, shares))
        # all as objects: a column of text would turn None into NaN, which is no JSON
        return pd.DataFrame(rows, columns=COLUMNS, dtype=object)

    def _decode(self, body: Any, *, explain: bool) -> Decoded | NotAPhoto:
        try:
            photo = body if isinstance(body, bytes) else b""
            return decode_for_network(photo, self.size, preview=self.preview if explain else None)
        except NotAPhoto as error:
            return error

    def _verdicts(self, photos: np.ndarray) -> Iterator[tuple[float, bool, bool, list[float], np.ndarray]]:
        """For each photo P(positive), whether it is, whether that is unsure, P(class) of all classes, and what explains
        it: the last feature map.
        """
        from include.evaluation.metrics import class_probabilities, positive_probability

        logits, feature_maps = self.forward(photos)
        probability, shares = positive_probability(logits, self.rule), class_probabilities(logits, self.rule)
        columns = probability, self.rule.is_positive(probability), self.rule.is_unsure(probability), shares
        return zip(*(column.tolist() for column in columns), feature_maps, strict=True)

    def _explain(self, photo: Decoded, feature_map: np.ndarray) -> str:
        from include.registry.explanation import heat_map, overlay_heat_map

        assert photo.preview is not None
        return overlay_heat_map(photo.preview, heat_map(feature_map, self.linear_part, self.rule.positive_classes))


def save_package(folder: Path, network: Path, rule: DecisionRule) -> Path:
    """Write a model version as MLflow keeps it: a ``.keras`` file, the decision rule as JSON, and the entry file."""
    rule_file = folder / "decision_rule.json"
    rule_file.write_text(json.dumps(asdict(rule)))
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(ENTRY),
        artifacts={"network": str(network), "decision_rule": str(rule_file)},
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
