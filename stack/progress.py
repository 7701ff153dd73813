"""What the demo says of tasks that take long: how far they are, as they write it to the lake."""

import json
import re
from typing import Any

from include.lake import layout
from include.lake.base import ObjectStore, read_many
from include.lake.listing import own_keys

INTERVAL = 10  # seconds between two lines about one task
Parts = dict[str, list[dict[str, Any]]]  # by the name of the task, the objects that its mapped parts wrote


class LongTasks:
    """Watches the tasks of one run, and describes those that have been running for long."""

    def __init__(self, store: ObjectStore, run: str) -> None:
        self.store, self.run = store, run
        self._since: dict[str, float] = {}
        self._described: dict[str, int] = {}  # how many intervals of each task have passed with a line

    def describe(self, tasks: list[dict[str, Any]], *, now: float) -> list[str]:
        """A line for each task that was running for another ``INTERVAL`` seconds; ``now`` is a monotonic clock's."""
        running = list(dict.fromkeys(task["task_id"] for task in tasks if task["state"] == "running"))
        self._since = {name: self._since.get(name, now) for name in running}
        passed = {name: int(now - since) // INTERVAL for name, since in self._since.items()}
        due = [name for name in running if passed[name] > self._described.get(name, 0)]
        self._described = passed
        parts = read_parts(self.store, self.run) if due else {}
        return [f"{name}  {_how_far(name, tasks, parts, seconds=passed[name] * INTERVAL)}" for name in due]


def read_parts(store: ObjectStore, run: str) -> Parts:
    """What the tasks of a run have written of their progress: `describe-00001` is a part of `describe`."""
    prefix = layout.progress(run)
    keys = list(own_keys(store, prefix))
    parts: Parts = {}
    for key, body in zip(keys, read_many(store, keys), strict=True):
        name = re.sub(r"(-\d+)?\.json$", "", key.removeprefix(prefix))
        parts.setdefault(name, []).append(json.loads(body))
    return parts


def _how_far(task_id: str, tasks: list[dict[str, Any]], parts: Parts, *, seconds: int) -> str:
    mapped = sum(task["task_id"] == task_id for task in tasks)
    written = parts.get(task_id.rpartition(".")[2], [])[:mapped]  # an earlier try may have had more parts
    if not written:
        return f"running for {seconds} s"
    done, total = sum(part["done"] for part in written), sum(part["total"] for part in written)
    rest = f" ({len(written)} of {mapped} parts begun)" if len(written) < mapped else ""
    return f"{done:,} of {total:,} {written[0]['unit']}{rest}"
