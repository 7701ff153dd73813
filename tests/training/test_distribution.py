"""Two workers on this machine train one network; each is a process of its own, as on two machines."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from include.settings import ROOT
from include.training.checkpoints import Checkpoints
from include.training.distribution import is_chief, open_strategy
from include.training.fit import fit
from tests.conftest import free_port
from tests.training.test_fit import EPOCHS, photos, tiny_job

WORKER = """
import sys
from collections.abc import Mapping
from pathlib import Path
from tests.training.test_distribution import work
work(Path(sys.argv[1]), epochs=int(sys.argv[2]))
"""


def work(folder: Path, *, epochs: int) -> None:
    """One worker: the first keeps checkpoints in ``folder``; each writes its own losses beside it."""
    losses = []

    def on_epoch(_: int, metrics: Mapping[str, float]) -> None:
        losses.append({name: metrics[name] for name in ("loss", "val_loss")})

    checkpoints = Checkpoints(folder) if is_chief() else None
    trained = fit(*photos(), tiny_job(epochs=epochs), checkpoints=checkpoints, on_epoch=on_epoch)
    assert (trained is not None) == is_chief()
    folder.with_name(f"worker-{int(not is_chief())}.json").write_text(json.dumps(losses))


def train_together(folder: Path, *, epochs: int) -> list[list[dict]]:
    """Run two workers to their end; returns the losses of the epochs that each has trained."""
    workers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    running = []
    for index in range(2):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, "-c", WORKER, str(folder), str(epochs)]
        running.append(subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TF_CONFIG": json.dumps(config)}))
    try:
        assert [worker.wait(timeout=900) for worker in running] == [0, 0]
    finally:
        for worker in running:
            worker.kill()
    return [json.loads(folder.with_name(f"worker-{index}.json").read_text()) for index in range(2)]


def test_without_further_workers_this_process_is_the_chief_and_needs_no_strategy() -> None:
    assert is_chief()
    assert open_strategy().num_replicas_in_sync == 1


@pytest.mark.slow
def test_two_workers_train_one_network_and_resume_together(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    chief, other = train_together(folder, epochs=EPOCHS)
    assert len(chief) == EPOCHS
    for mine, theirs in zip(chief, other, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)  # one network, so one loss
    last = Checkpoints(folder)
    latest = last.latest()
    assert latest is not None
    assert [epoch["loss"] for epoch in latest.history] == pytest.approx([epoch["loss"] for epoch in chief])
    for epoch in last.epochs()[1:]:  # as after a kill: the chief has the first epochs only
        (last.folder / f"epoch-{epoch:04}").rename(tmp_path / f"gone-{epoch}")
    done = last.epochs()[0]
    chief_resumed, other_resumed = train_together(folder, epochs=EPOCHS)
    assert len(chief_resumed) == len(other_resumed) == EPOCHS - done
    losses = [epoch["loss"] for epoch in chief_resumed]
    assert losses == pytest.approx([epoch["loss"] for epoch in chief[done:]], rel=1e-3)
    assert np.isfinite([epoch["val_loss"] for epoch in chief_resumed]).all()
