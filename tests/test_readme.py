"""Every command of the README runs in a test, or stands below with the reason why it does not."""

import re
import shlex
import subprocess

import pytest

from include.cli import build_parser
from include.settings import ROOT

README = (ROOT / "README.md").read_text()
CODE = "\n".join(block or span for block, span in re.findall(r"```sh\n(.*?)```|`([^`\n]+)`", README, re.DOTALL))
COMMANDS = sorted(set(re.findall(r"make [a-z-]+|cat-retrain [a-z-]+", CODE)))


# where a command runs for real: a test file, and the words by which it starts it
TESTED = {
    "make demo": ("tests/functional/test_kills.py", '"stack.demo", "--once"'),
    "make up": ("tests/functional/conftest.py", "start_all"),
    "make secrets": ("tests/compose/conftest.py", '"make", "secrets"'),
    "make test-lake": ("tests/lake/test_given_lake.py", '"--lake-url"'),
    "cat-retrain versions": ("tests/promotion/test_manual.py", "versions"),
    "cat-retrain promote": ("tests/promotion/test_manual.py", "promote"),
    "cat-retrain predict": ("tests/serving/test_predict_folder.py", "predict"),
    "cat-retrain review": ("tests/ingestion/test_reviews.py", "review"),
    "cat-retrain validate": ("tests/validation/test_data.py", 'main(["validate"'),
}
EXCEPTIONS = {
    "make test": "it is what runs now",
    "make test-slow": "the slow tests themselves; CI runs them weekly",
    "make test-compose": "it needs a Docker engine; CI runs it weekly",
    "make coverage": "the same tests once more; CI runs it weekly",
    "make check": "CI runs it before the tests",
    "make bench": "more than half an hour; tests/bench runs it on a few drawings",
    "make bench-data": "minutes; tests/bench runs it on a few drawings",
    "make bench-gate": "twenty minutes; tests/bench runs it on a few drawings",
    "make fix": "it changes the files under test",
    "make requirements": "it asks a package index what is new",
    "make clean": "it would remove the state of whoever runs the tests",
    "make screenshots": "it needs a running stack; a person looks at what it takes",
    "cat-retrain rebuild": "tests/dataset rebuilds versions through the function that it calls",
    "cat-retrain train-worker": "it needs a second machine; tests/training joins a training through the same function",
}


def test_help_lists_every_make_command_of_the_readme() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[0] for line in listed.splitlines() if line.strip()}
    named = {command.split()[1] for command in COMMANDS if command.startswith("make ")} - {"help"}
    assert named <= targets


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "make help"])
def test_every_command_runs_in_a_test_or_has_a_reason_not_to(command: str) -> None:
    if command in EXCEPTIONS:
        assert EXCEPTIONS[command]
        return
    path, words = TESTED[command]
    assert words in (ROOT / path).read_text()


@pytest.mark.parametrize("line", re.findall(r"cat-retrain [a-z-]+ [A-Z][^#\n]*", CODE))
def test_the_arguments_of_the_readme_are_understood(line: str) -> None:
    given = build_parser().parse_args(shlex.split(line)[1:])
    assert callable(given.action)


def test_links_lead_to_files_that_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
