"""The model server under load, beside plain `mlflow models serve`: prints the table of docs/sizing.md.

python -m bench.load [--seconds 10] [--help]

All servers are started here, on loopback, with models of the real size and random heads. Clients and servers share the
machine, as they do in the local stack.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.document import table
from bench.load_clients import Answers, asking, large_picture, phone_photo, request, trickling
from bench.load_servers import PeakMemory, Registry, our_server, plain_mlflow, running_registry
from bench.machine import describe_machine
from bench.measurement import say

HEAD = ("server", "clients", "beside them", "p50, ms", "p99, ms", "answers", "busy", "failed", "peak memory, MB")
Beside = Callable[[str], AbstractContextManager]


@dataclass(frozen=True)
class Scenario:
    """So many clients that want one verdict each time, and what goes on beside them."""

    clients: int
    name: str = "–"
    beside: Beside = nullcontext


def main() -> None:
    options = _parse()
    rows, machine = [], describe_machine()
    with tempfile.TemporaryDirectory() as folder, running_registry(Path(folder), versions=2) as registry:
        with our_server(registry, Path(folder)) as (url, memory):
            beside = [
                Scenario(4, "4 clients of 4 explanations", explaining),
                Scenario(4, "a swap every 4 s", lambda url: swapping(registry, url)),
                Scenario(4, "100 clients that trickle", lambda url: trickling(url, clients=100)),
                Scenario(4, "4 clients with PNGs of 50 megapixels", sending_large_pictures),
            ]
            rows += [_measure("ours", url, memory, each, options.seconds) for each in (*alone(), *beside)]
        with plain_mlflow(registry, Path(folder)) as (url, memory):
            beside = [Scenario(4, "4 clients of 4 explanations", explaining)]
            beside += [Scenario(4, "4 clients with PNGs of 50 megapixels", sending_large_pictures)]
            rows += [_measure("plain", url, memory, each, options.seconds) for each in (*alone(), *beside)]
    say(", ".join(f"{name} {value}" for name, value in machine.items()))
    say(table(HEAD, rows))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each row")
    return parser.parse_args()


def alone() -> list[Scenario]:
    return [Scenario(clients) for clients in (1, 4, 16)]


def explaining(url: str) -> AbstractContextManager[Answers]:
    return asking(url, request([phone_photo()] * 4, explain=True), clients=4)


def sending_large_pictures(url: str) -> AbstractContextManager[Answers]:
    return asking(url, request([large_picture()]), clients=4)


@contextmanager
def swapping(registry: Registry, url: str) -> Iterator[None]:
    """The alias moves between two versions: the server loads a model all the time, and ends with the first version."""

    ended = threading.Event()

    def move() -> None:
        for turn in range(1_000):
            registry.move_alias(registry.versions[(turn + 1) % 2])
            if ended.wait(4):
                return

    mover = threading.Thread(target=move)
    mover.start()
    yield
    ended.set()
    mover.join()
    registry.move_alias(registry.versions[0])
    while httpx.get(f"{url}/live", timeout=60).json()["model_version"] != registry.versions[0].number:
        time.sleep(0.5)


def _measure(server: str, url: str, memory: PeakMemory, scenario: Scenario, seconds: float) -> tuple[str, ...]:
    say(f"{server}: {scenario.clients} clients, beside them: {scenario.name}")
    with scenario.beside(url):
        memory.restart()
        with asking(url, request([phone_photo()]), clients=scenario.clients) as answers:
            time.sleep(seconds)
    times = (f"{answers.quantile(share) * 1000:,.0f}" for share in (0.5, 0.99))
    counts = (f"{count:,}" for count in (len(answers.seconds), answers.busy, answers.failed))
    return (server, str(scenario.clients), scenario.name, *times, *counts, f"{memory.peak:,.0f}")


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    main()
