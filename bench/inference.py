"""One photo at a time: the model as it is served, and what it is made of. `python -m bench.inference JOB`.

By bench.training, which gives the folder of the package as ``scratch``.
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

from bench.measuring import Job, give, say
from bench.photos import read_manifest
from include.images.decoding import decode_pixels
from include.registry.package import EXPLAIN
from include.training.safe_keras import load_network

CALLS, WARM_UP = 300, 10
Call = Callable[[bytes, NDArray[np.uint8]], object]  # with a photo's bytes, and its pixels (1, size, size, 3)


def main() -> None:
    job = Job.mine()
    photos = read_manifest(job.lake)
    keys = photos.loc[photos["split"] == "test", "key"]
    bodies = [(Path(job.lake) / key).read_bytes() for key in islice(cycle(keys), WARM_UP + CALLS)]
    model = mlflow.pyfunc.load_model(job.scratch)
    inside = model.unwrap_python_model()
    variables = with_variables(Path(job.scratch) / "artifacts" / "network.keras")

    def serve(body: bytes, *, explain: bool = False) -> Any:
        return model.predict(pd.DataFrame({"image": [body]}), params={EXPLAIN: explain})

    calls: dict[str, Call] = {
        "decode": lambda body, _: decode_pixels(body, inside.size),
        "network": lambda _, pixels: inside.score(pixels),
        "served": lambda body, _: serve(body),
        "variables": lambda _, pixels: variables(pixels),
    }
    explained: dict[str, Call] = {"explained": lambda body, _: serve(body, explain=True)}
    say(f"{job.name}: {CALLS} photos, then again with explanations")
    taken = pd.concat([measure(calls, bodies, inside.size), measure(explained, bodies, inside.size)], axis=1)[WARM_UP:]
    taken["bare"] = taken["decode"] + taken["network"]
    give({"calls": len(taken)} | {name: spread(column) for name, column in taken.items()})


def with_variables(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The network as one graph whose weights stay variables: the other form that `freeze` might have."""
    network = load_network(str(path))
    photos = tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8)
    graph = tf.function(partial(network, training=False), input_signature=[photos])
    return lambda batch: np.asarray(graph(tf.constant(batch)))


def measure(calls: dict[str, Call], bodies: Iterable[bytes], size: int) -> pd.DataFrame:
    """Milliseconds of each call for each photo.

    In turns, so that what else the machine does falls on all of them, and in an order that is drawn for each photo: a
    call is slower after one that took the processor's caches.
    """
    draw, rows = np.random.default_rng(1), []
    for body in bodies:
        pixels = decode_pixels(body, size)[None]
        rows.append({name: milliseconds(partial(calls[name], body, pixels)) for name in draw.permutation(list(calls))})
    return pd.DataFrame(rows)


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def spread(taken: pd.Series) -> dict[str, float]:
    return {"p50": float(taken.quantile(0.5)), "p99": float(taken.quantile(0.99))}


if __name__ == "__main__":
    main()
