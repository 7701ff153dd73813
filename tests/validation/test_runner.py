"""A suite as a process: what counts as a crash, and what ends it."""

from pathlib import Path

import pytest

from include.errors import BadSetting, ChecksCrashed
from include.validation.runner import DATA_SUITE, run_suite


def python_that(folder: Path, command: str) -> Path:
    """A stand-in for the interpreter that runs a shell command instead."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("command", "message"), [("echo torn >&2; exit 3", "code 3.*torn"), ("exit 0", "code 0")], ids=["failed", "silent"]
)
def test_a_process_without_a_result_has_crashed(tmp_path: Path, command: str, message: str) -> None:
    with pytest.raises(ChecksCrashed, match=message):
        run_suite(DATA_SUITE, tmp_path, python=python_that(tmp_path, command), seconds=60)


def test_a_process_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    with pytest.raises(ChecksCrashed, match="code -9"):
        run_suite(DATA_SUITE, tmp_path, python=python_that(tmp_path, "exec sleep 300"), seconds=0.5)


def test_a_missing_environment_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="make setup"):
        run_suite(DATA_SUITE, tmp_path, python=tmp_path / "nowhere", seconds=60)
