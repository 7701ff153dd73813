"""One definition of the params gives the form and the check: by REST nothing passes that the form would refuse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import BadParam
from include.params import IngestParams, Params, PredictParams, RetrainParams

GOOD = {"images_per_source": 100, "epochs": 3, "min_precision": 0.5, "min_recall": 1}


def refusal(kind: type[Params], given: dict[str, Any]) -> str:
    with pytest.raises(BadParam) as caught:
        kind.parse(given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_the_form_gives_is_taken() -> None:
    assert RetrainParams.parse(GOOD | {"force": True}) == RetrainParams(100, 3, 0.5, 1.0, force=True)
    assert IngestParams.parse({}) == IngestParams(follow=False)


REFUSED: dict[str, tuple[Any, ...]] = {
    "epochs": (3.0, "3", True, None, 0, 1001, [3]),
    "images_per_source": (9, 100.5, -1, {}),
    "min_recall": ("0.5", 1.01, -0.1, float("nan"), None, True),
    "force": (1, "true", None),
    "fine_tune_epochs": (-1, 101, 1.0),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_a_value_that_the_form_refuses_is_refused_by_name(name: str, value: Any) -> None:
    assert refusal(RetrainParams, GOOD | {name: value}).startswith(f"the param {name} cannot be {value!r}: ")


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("epoch", "did you mean epochs?"),
        ("min_precission", "did you mean min_precision?"),
        ("image_per_source", "did you mean images_per_source?"),
        ("learning_rate", "use images_per_source, epochs, min_precision, min_recall, fine_tune_epochs, force"),
    ],
)
def test_an_unknown_name_is_told_with_the_one_that_is_meant(name: str, cure: str) -> None:
    assert refusal(RetrainParams, GOOD | {name: 1}) == f"there is no param {name!r}: {cure}"


def test_all_faults_are_told_at_once() -> None:
    sentence = refusal(RetrainParams, {"epochs": 1.0, "epoch": 1, "min_precision": 0, "min_recall": 0})
    assert sentence.count("; ") == 2
    assert "the param images_per_source is missing" in sentence


values = st.one_of(st.integers(-5, 2000), st.floats(), st.text(max_size=5), st.booleans(), st.none())


@given(st.dictionaries(st.sampled_from([*GOOD, "force", "fine_tune_epochs"]), values))
def test_what_passes_has_the_types_and_bounds_of_the_form(changed: dict[str, Any]) -> None:
    try:
        params = RetrainParams.parse(GOOD | changed)
    except BadParam as error:
        assert any(f"the param {name} cannot be" in str(error) for name in changed)  # noqa: PT017
        return
    for name, schema in RetrainParams.schemas().items():
        value = getattr(params, name)
        assert type(value) is {"integer": int, "number": float, "boolean": bool}[schema["type"]]
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value)


@given(st.text(min_size=1, max_size=12), values)
def test_no_unknown_name_passes(name: str, value: Any) -> None:
    if name not in RetrainParams.schemas():
        assert f"there is no param {name!r}" in refusal(RetrainParams, GOOD | {name: value}).replace("\\\\", "\\")


@pytest.mark.parametrize("folder", ["", " ", None])
def test_an_empty_folder_means_the_uploads(folder: str | None) -> None:
    assert PredictParams.parse({"folder": folder}).photos is None
    assert "null" in PredictParams.schemas()["folder"]["type"], "else the form cannot be sent"


@pytest.mark.parametrize("folder", ["photos", "~/photos", "./photos"])
def test_a_folder_that_a_worker_cannot_find_is_refused(folder: str) -> None:
    assert "the absolute path" in refusal(PredictParams, {"folder": folder})


def test_any_absolute_path_is_taken() -> None:
    assert str(PredictParams.parse({"folder": "/it's a folder & more"}).photos) == "/it's a folder & more"
