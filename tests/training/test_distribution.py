"""Two workers on this machine train one network; each is a process of its own, as on two machines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from include.settings import ROOT
from include.training.checkpoints import Checkpoints
from include.training.distribution import is_chief, open_strategy
from tests.conftest import free_port
from tests.training.test_fit import EPOCHS, photos, tiny_job

WORKER = """
import sys
from pathlib import Path
from tests.training.test_distribution import work
work(Path(sys.argv[1]), epochs=int(sys.argv[2]))
"""


def work(folder: Path, *, epochs: int) -> None:
    """One worker: the first keeps checkpoints in ``folder``, every one leaves its own losses beside it."""
    from include.training import fit

    seen = []
    keep = fit.CheckpointCallback.on_epoch_end

    def keep_and_note(keeper: fit.CheckpointCallback, epoch: int, logs: dict) -> None:
        keep(keeper, epoch, logs)
        seen.append({name: keeper.history[-1][name] for name in ("loss", "val_loss")})

    fit.CheckpointCallback.on_epoch_end = keep_and_note
    checkpoints = Checkpoints(folder) if is_chief() else None
    trained = fit.fit(*photos(), tiny_job(epochs=epochs), checkpoints=checkpoints)
    assert (trained is not None) == is_chief()
    folder.with_name(f"worker-{int(not is_chief())}.json").write_text(json.dumps(seen))


def train_together(folder: Path, *, epochs: int) -> list[list[dict]]:
    """Two workers to their end; returns the figures of the epochs that each has trained."""
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


def test_without_further_workers_this_process_is_the_first_and_needs_no_strategy():
    assert is_chief()
    assert open_strategy().num_replicas_in_sync == 1


@pytest.mark.slow
def test_two_workers_train_one_network_and_go_on_together(tmp_path):
    folder = tmp_path / "state"
    chief, other = train_together(folder, epochs=EPOCHS)
    assert len(chief) == EPOCHS
    for mine, theirs in zip(chief, other, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)  # one network, so one loss
    history = Checkpoints(folder).latest().history
    assert [figures["loss"] for figures in history] == pytest.approx([figures["loss"] for figures in chief])
    last = Checkpoints(folder)
    for epoch in last.epochs()[1:]:  # as after a kill: the chief has the first epochs only
        (last.folder / f"epoch-{epoch:04}").rename(tmp_path / f"gone-{epoch}")
    done = last.epochs()[0]
    again, too = train_together(folder, epochs=EPOCHS)
    assert len(again) == len(too) == EPOCHS - done
    assert [figures["loss"] for figures in again] == pytest.approx(
        [figures["loss"] for figures in chief[done:]], rel=1e-3
    )
    assert np.isfinite([figures["val_loss"] for figures in again]).all()
