"""What verdicts cost, measured on real versions of the model in processes of their own."""

from pathlib import Path

import pytest

from include.errors import TransientError
from include.promotion.costs import measure_costs
from include.records import ModelVersion
from include.registry.versions import download_and_verify
from include.training.mlflow_runs import Mlflow
from tests.models import QUESTION
from tests.pictures import drawing


def package(client: Mlflow, version: ModelVersion, folder: Path) -> Path:
    folder.mkdir()
    return download_and_verify(client, version, folder, QUESTION)


def test_each_version_has_a_latency_and_a_peak_of_its_own(client: Mlflow, new: ModelVersion, tmp_path: Path) -> None:
    """The same version twice: equal costs, whichever process this one has grown to."""
    found = package(client, new, tmp_path / "new")
    held = bytearray(600_000_000)  # of this process; the children must not inherit it
    held[::4096] = b"1" * len(held[::4096])
    one, two = measure_costs([found, found], [drawing("cats", 1), drawing("dogs", 2)])
    assert one.seconds > 0
    assert two.seconds > 0
    assert one.bytes == pytest.approx(two.bytes, rel=0.1)
    assert 200e6 < one.bytes < 1200e6


def test_a_process_that_cannot_measure_is_a_fault_of_the_machine(
    client: Mlflow, new: ModelVersion, tmp_path: Path
) -> None:
    with pytest.raises(TransientError, match="gave no number .exit code"):
        measure_costs([tmp_path], [drawing("cats", 1)])
