"""The params of the DAGs: one definition gives the form in the Airflow UI, and the check of whatever comes by REST."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails

from include.errors import BadParam

Share = Annotated[StrictFloat, Field(ge=0, le=1)]


class Params:
    """What one run of a DAG is given. Numbers are not made of texts, nor whole numbers of fractions such as 3.0."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Self:
        """Raises BadParam, which names each unknown param and each value that cannot work."""
        try:
            return TypeAdapter(cls).validate_python(dict(given))
        except ValidationError as error:
            raise BadParam("; ".join(cls._describe(wrong) for wrong in error.errors())) from None

    @classmethod
    def schemas(cls) -> dict[str, dict[str, Any]]:
        """A JSON schema for each param, as forms need it: what may be empty has a list of types."""
        properties = TypeAdapter(cls).json_schema()["properties"]
        return {name: _flat(schema) for name, schema in properties.items()}

    @classmethod
    def _describe(cls, wrong: ErrorDetails) -> str:
        name, names = str(wrong["loc"][0]), [field.name for field in fields(cls)]  # type: ignore[arg-type]
        if wrong["type"] == "missing":
            return f"the param {name} is missing"
        if name in names:
            return f"the param {name} cannot be {wrong['input']!r}: {wrong['msg'].removeprefix('Value error, ')}"
        close = get_close_matches(name, names, n=1)
        return f"there is no param {name!r}: " + (f"did you mean {close[0]}?" if close else f"use {', '.join(names)}")


def _absolute(folder: str | None) -> str | None:
    """None where nothing was written into the form."""
    if folder is None or not folder.strip():
        return None
    if not Path(folder).is_absolute():
        raise ValueError("a worker needs the absolute path of a folder, which begins with /")
    return folder


def _flat(schema: dict[str, Any]) -> dict[str, Any]:
    types = [choice["type"] for choice in schema.get("anyOf", [])]
    kept = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {"type": types} | kept if types else kept


@dataclass(frozen=True)
class RetrainParams(Params):
    """The params of one run of ``retrain``."""

    images_per_source: Annotated[
        StrictInt,
        Field(
            ge=10,
            title="Images per source",
            description="Photos of each folder of base photos, over train, val and test together.",
        ),
    ]
    epochs: Annotated[StrictInt, Field(ge=1, le=1000, title="Epochs", description="At most.")]
    min_precision: Annotated[
        Share, Field(title="Minimum precision", description="Below it, on the test split, no model is released.")
    ]
    min_recall: Annotated[
        Share, Field(title="Minimum recall", description="Below it, on the test split, no model is released.")
    ]
    fine_tune_epochs: Annotated[
        StrictInt,
        Field(
            ge=0,
            le=100,
            title="Epochs of fine-tuning",
            description=("Train the backbone's upper blocks for so many epochs after the head: minutes each. 0: none."),
        ),
    ] = 0
    force: Annotated[
        StrictBool,
        Field(title="Train even when nothing is new", description="Otherwise such a run ends after a few seconds."),
    ] = False

    def effective(self) -> dict[str, Any]:
        """All that can change a result: ``force`` cannot."""
        return {name: value for name, value in asdict(self).items() if name != "force"}


@dataclass(frozen=True)
class IngestParams(Params):
    """The params of one run of ``ingest_base_datasets``."""

    follow: Annotated[
        StrictBool,
        Field(
            title="Take moved and deleted photos over",
            description=(
                "Photos that left a source's folder leave the lake. Without it they stay, and the log names them."
            ),
        ),
    ] = False


@dataclass(frozen=True)
class PredictParams(Params):
    """The params of one run of ``predict_batch``."""

    folder: Annotated[
        StrictStr | None,
        AfterValidator(_absolute),
        Field(
            title="Folder",
            description="A folder that the worker can read, as an absolute path. Empty: the uploads in the lake.",
        ),
    ] = None

    @property
    def photos(self) -> Path | None:
        """The folder to predict; none: the uploads."""
        return Path(self.folder) if self.folder else None
