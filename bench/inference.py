"""One photo at a time: the model as it is served, and the bare network. `python -m bench.inference JOB`.

By bench.training, which gives the folder of the package as ``scratch``.
"""

import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

from bench.measuring import Job, say, tell
from include.images.decoding import decode_pixels
from include.model.packaging import EXPLAIN

CALLS, EXPLAINED, WARM_UP = 300, 10, 5


def main() -> None:
    job = Job.mine()
    photos = pd.read_parquet(job.manifest)
    keys = photos.loc[photos["side"] == "test", "key"]
    bodies = [(Path(job.photos) / key).read_bytes() for key in islice(cycle(keys), CALLS)]
    model = mlflow.pyfunc.load_model(job.scratch)
    inside = model.unwrap_python_model()

    def served(body: bytes, *, explain: bool = False) -> Callable[[], object]:
        return lambda: model.predict(pd.DataFrame({"image": [body]}), params={EXPLAIN: explain})

    def bare(body: bytes) -> Callable[[], object]:
        pixels = decode_pixels(body, inside.size)[None]
        return lambda: inside.score(pixels)

    say(f"{job.name}: {CALLS} photos, then {EXPLAINED} with an explanation")
    # in turns, so that what else the machine does falls on both
    pairs = [(milliseconds(served(body)), milliseconds(bare(body))) for body in [*bodies[:WARM_UP], *bodies]]
    explained = [milliseconds(served(body, explain=True)) for body in bodies[: 1 + EXPLAINED]]
    times = {"served": [pair[0] for pair in pairs[WARM_UP:]], "bare": [pair[1] for pair in pairs[WARM_UP:]]}
    tell({name: spread(taken) for name, taken in (times | {"explained": explained[1:]}).items()})


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def spread(taken: list[float]) -> dict[str, float]:
    return {"p50": float(np.quantile(taken, 0.5)), "p99": float(np.quantile(taken, 0.99)), "calls": len(taken)}


if __name__ == "__main__":
    main()
