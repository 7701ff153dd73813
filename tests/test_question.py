"""The question: what cannot be asked is refused with a reason, and what a lake depends on is in its digest."""

import pytest
from pydantic import ValidationError

from include.question import NEGATIVE, POSITIVE, Question
from include.settings import Settings

BIRDS = ("owls", "crows", "gulls")


@pytest.fixture(autouse=True)
def no_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", None)  # a developer's own .env


@pytest.mark.parametrize(
    ("sources", "reason"),
    [
        ((), "two or more folders"),
        (("cats",), "two or more folders"),
        (("cats", "dogs", "cats"), "two or more folders, each once"),
        (("cats", "uploads"), "uploads: this name is reserved; rename the folder"),
        (("cats", "unknown"), "unknown: this name is reserved; rename the folder"),
        (("cats", "Dogs"), "should match pattern"),
        (("cats", "the dogs"), "should match pattern"),
        (("cats", "dogs/puppies"), "should match pattern"),
        (("cats", ".."), "should match pattern"),
        (("cats", ""), "should match pattern"),
        (("cats", "-dogs"), "should match pattern"),
        (("cats", "d" * 41), "at most 40 characters"),
    ],
)
def test_sources_that_cannot_be_folders_or_classes_are_refused(sources: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Question(sources=sources)


@pytest.mark.parametrize("positive", [(), ("owls", "crows", "gulls"), ("cats",), ("owls", "cats")])
def test_positive_sources_are_some_but_not_all_of_the_sources(positive: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="name at least one of the sources, but not all"):
        Question(sources=BIRDS, positive=positive)


@pytest.mark.parametrize("field", ["noun", "text", "name"])
def test_a_question_without_words_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Question.model_validate({field: ""})


def test_a_name_that_cannot_name_a_model_is_refused() -> None:
    with pytest.raises(ValidationError, match="should match pattern"):
        Question(name="Are you a cat?")


def test_several_sources_may_be_positive() -> None:
    question = Question(sources=BIRDS, positive=("gulls", "owls"), noun="a bird that I like")
    assert question.positive_classes == (0, 2)
    assert question.negative_sources == ("crows",)
    assert {source: question.label_of(source) for source in BIRDS} == {
        "owls": POSITIVE,
        "crows": NEGATIVE,
        "gulls": POSITIVE,
    }
    assert question.words_for(POSITIVE) == "a bird that I like"
    assert question.words_for(NEGATIVE) == "not a bird that I like"


def test_lists_in_the_environment_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAT_QUESTION__NAME", "is-it-an-owl")
    monkeypatch.setenv("CAT_QUESTION__SOURCES", "owls, crows,gulls")
    monkeypatch.setenv("CAT_QUESTION__POSITIVE", "owls")
    monkeypatch.setenv("CAT_QUESTION__NOUN", "an owl")
    monkeypatch.setenv("CAT_QUESTION__TEXT", "Is it an owl?")
    expected = Question(name="is-it-an-owl", sources=BIRDS, positive=("owls",), noun="an owl", text="Is it an owl?")
    assert Settings().question == expected
    monkeypatch.setenv("CAT_QUESTION__SOURCES", '["owls", "crows", "gulls"]')
    assert Settings().question == expected


def test_a_question_travels_to_other_processes_as_one_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the local stack hands it to its servers."""
    question = Question(name="owls", sources=BIRDS, positive=("owls", "gulls"), noun="one", text="One?")
    monkeypatch.setenv("CAT_QUESTION", question.model_dump_json())
    assert Settings().question == question


def test_a_bad_question_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAT_QUESTION__SOURCES", "cats,uploads")
    with pytest.raises(ValidationError, match="reserved"):
        Settings()


@pytest.mark.parametrize(
    "other",
    [
        Question(name="another"),
        Question(sources=("cats", "dogs", "misc")),
        Question(sources=("dogs", "cats", "selfies", "misc")),
        Question(positive=("dogs",)),
        Question(positive=("cats", "dogs")),
    ],
    ids=["name", "a source less", "another order of outputs", "another positive", "one positive more"],
)
def test_the_digest_changes_with_what_models_depend_on(other: Question) -> None:
    assert other.digest != Question().digest


def test_the_digest_does_not_change_with_words_or_the_order_of_positive_sources() -> None:
    assert Question(noun="one cat", text="A cat?").digest == Question().digest
    assert Question(positive=("cats", "dogs")).digest == Question(positive=("dogs", "cats")).digest


def test_each_question_has_a_home_of_its_own_and_other_words_keep_it() -> None:
    dogs = Settings(question=Question(name="dogs", positive=("dogs",))).home.name
    assert dogs.startswith("dogs-")
    assert dogs.endswith(Settings().home.name)
    both = Settings(question=Question(name="dogs", positive=("dogs", "cats"))).home.name
    assert len({dogs, both, Settings().home.name}) == 3
    assert Settings(question=Question(noun="one cat", text="A cat?")).home == Settings().home
