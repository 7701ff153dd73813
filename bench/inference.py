"""Times for one photo: the served model and its parts. `python -m bench.inference JOB`, by bench.training.

The job's ``scratch`` is the folder of the model's package.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from bench.measurement import Job, return_result, say
from bench.photos import read_manifest
from include.images.decoding import decode_pixels
from include.registry.package import EXPLAIN
from include.training.safe_keras import load_network

CALLS, WARM_UP = 300, 10
Call = Callable[[bytes, NDArray[np.uint8]], object]  # gets a photo's bytes, and its pixels (1, size, size, 3)


def main() -> None:
    job = Job.from_argument()
    photos = read_manifest(job.lake)
    keys = photos.loc[photos["split"] == "test", "key"]
    bodies = [(Path(job.lake) / key).read_bytes() for key in islice(cycle(keys), WARM_UP + CALLS)]
    model = mlflow.pyfunc.load_model(job.scratch)
    inner = model.unwrap_python_model()
    score_with_variables = graph_with_variables(Path(job.scratch) / "artifacts" / "network.keras")

    def serve(body: bytes, *, explain: bool = False) -> Any:
        return model.predict(pd.DataFrame({"image": [body]}), params={EXPLAIN: explain})

    calls: dict[str, Call] = {
        "decode": lambda body, _: decode_pixels(body, inner.size),
        "network": lambda _, pixels: inner.forward(pixels),
        "served": lambda body, _: serve(body),
        "variables": lambda _, pixels: score_with_variables(pixels),
    }
    explained: dict[str, Call] = {"explained": lambda body, _: serve(body, explain=True)}
    say(f"{job.name}: {CALLS} photos, then again with explanations")
    times = pd.concat([measure(calls, bodies, inner.size), measure(explained, bodies, inner.size)], axis=1)[WARM_UP:]
    times["bare"] = times["decode"] + times["network"]
    return_result({"calls": len(times)} | {name: percentiles(column) for name, column in times.items()})


def graph_with_variables(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The network as one graph whose weights stay variables: what `freeze` could do instead."""
    network = load_network(str(path))
    photos = tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8)
    graph = tf.function(partial(network, training=False), input_signature=[photos])
    return lambda batch: np.asarray(graph(tf.constant(batch)))


def measure(calls: dict[str, Call], bodies: Iterable[bytes], size: int) -> pd.DataFrame:
    """Milliseconds of each call for each photo.

    The calls take turns, so that other processes on the machine slow down all of them, in an order that is drawn for
    each photo: a call is slower after one that filled the processor's caches.
    """
    draw, rows = np.random.default_rng(1), []
    for body in bodies:
        pixels = decode_pixels(body, size)[None]
        rows.append({name: milliseconds(partial(calls[name], body, pixels)) for name in draw.permutation(list(calls))})
    return pd.DataFrame(rows)


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def percentiles(times: pd.Series) -> dict[str, float]:
    return {"p50": float(times.quantile(0.5)), "p99": float(times.quantile(0.99))}


if __name__ == "__main__":
    main()
