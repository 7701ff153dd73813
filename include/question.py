"""The yes/no question that a model answers: from which sources it learns, and which of them mean yes."""

import hashlib
import json
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import NoDecode

POSITIVE, NEGATIVE = "positive", "negative"
NAME = r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$"
RESERVED = {"uploads", "unknown"}  # a source that users fill, and the class of a photo that nobody named


def _split_commas(given: object) -> object:
    """``CAT_QUESTION__SOURCES=cats,dogs`` as a person writes it; JSON lists and tuples pass."""
    if isinstance(given, str) and not given.lstrip().startswith("["):
        return tuple(name.strip() for name in given.split(","))
    return json.loads(given) if isinstance(given, str) else given


Name = Annotated[str, Field(pattern=NAME, max_length=40)]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_split_commas)]


class Question(BaseModel):
    """The network has one output for each source, in this order. P(positive) is the sum over the positive ones."""

    model_config = ConfigDict(frozen=True)

    name: Name = "are-you-a-cat"  # of the registered model, the experiment and the asset
    sources: Names = ("cats", "dogs", "selfies", "misc")  # folders of base photos
    positive: Names = ("cats",)  # those that mean yes
    noun: str = Field(default="a cat", min_length=1)  # what a positive photo shows, with its article
    text: str = Field(default="Are you a cat?", min_length=1)

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if len(self.sources) < 2 or len(set(self.sources)) < len(self.sources):
            raise ValueError(f"sources {', '.join(self.sources)}: name two or more folders, each once")
        if reserved := RESERVED & set(self.sources):
            raise ValueError(f"sources {', '.join(reserved)}: this name is reserved; rename the folder")
        if not set(self.positive) < set(self.sources) or not self.positive:
            raise ValueError(f"positive {', '.join(self.positive)}: name at least one of the sources, but not all")
        return self

    @property
    def positive_classes(self) -> tuple[int, ...]:
        """The outputs of the network that mean yes."""
        return tuple(number for number, source in enumerate(self.sources) if source in self.positive)

    @property
    def negative_sources(self) -> tuple[str, ...]:
        return tuple(source for source in self.sources if source not in self.positive)

    @property
    def digest(self) -> str:
        """Of all that a lake, a dataset and a model version depend on; words for people are not among them."""
        parts = [self.name, self.sources, [source for source in self.sources if source in self.positive]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def label_of(self, source: str) -> str:
        """The label that a base source gives to its photos."""
        return POSITIVE if source in self.positive else NEGATIVE

    def words_for(self, label: str) -> str:
        """A label as people read it: "a cat", "not a cat"."""
        return self.noun if label == POSITIVE else f"not {self.noun}"
