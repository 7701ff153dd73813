"""Time and memory of `check_labels` on many photos. `python -m bench.label_memory JOB`, by bench.data_quality."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from bench.lakes import RUN
from bench.measurement import Job, Stopwatch, peak_bytes, return_result
from bench.question import QUESTION, SOURCES
from include.backbone import FEATURES
from include.dataset import steps
from include.dataset.embeddings import write_embeddings
from include.dataset.splits import bucket, split_of_bucket
from include.lake import layout
from include.lake.formats import write_table
from include.lake.local import LocalStore
from include.settings import Policy, Settings

SHARD = 4000  # photos in one shard of `describe`
DISTANCE = 0.05  # between the sources in each feature, in standard deviations


def main() -> None:
    job = Job.from_argument()
    store, watch = LocalStore(Path(job.lake)), Stopwatch(job)
    write_table(store, layout.run_deduplicated(RUN, steps.rules_of(Policy())), make_photos(store, job.synthetic))
    watch.lap("making up photos")
    steps.check_labels(store, RUN, Settings(policy=Policy()))
    return_result({"photos": job.synthetic, "seconds": watch.lap("check_labels"), "peak_bytes": peak_bytes()})


def make_photos(store: LocalStore, count: int) -> pd.DataFrame:
    """Write random embeddings of ``count`` photos, shard by shard; returns the photos as `deduplicate` would."""
    draw = np.random.default_rng(1)
    centres = draw.normal(scale=DISTANCE, size=(len(SOURCES), FEATURES))
    names = pd.Series([hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)])
    classes = draw.integers(0, len(SOURCES), count)
    sources = pd.Series([SOURCES[number] for number in classes])
    keys = pd.Series([layout.base(source, name) for source, name in zip(sources, names, strict=True)])
    for start in range(0, count, SHARD):
        shard = slice(start, start + SHARD)
        embeddings = draw.normal(size=(len(classes[shard]), FEATURES)) + centres[classes[shard]]
        write_embeddings(store, keys[shard].tolist(), embeddings.astype(np.float16))
    columns = {"key": keys, "source": sources, "sha256": names, "label": sources.map(QUESTION.label_of)}
    columns |= {"split": names.map(bucket).map(split_of_bucket), "label_origin": "source", "session": None}
    return pd.DataFrame(columns | {"status": None, "reason": None}).astype("string")


if __name__ == "__main__":
    main()
