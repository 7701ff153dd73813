"""What the task `check_labels` needs for many photos. `python -m bench.label_memory JOB`, by bench.data_quality."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from bench.lakes import RUN
from bench.measuring import Job, Stopwatch, give, peak_bytes
from include.backbone import FEATURES
from include.dataset import steps
from include.dataset.embeddings import write_embeddings
from include.dataset.splits import bucket, split_of
from include.lake import layout
from include.lake.formats import write_table
from include.lake.local import LocalStore
from include.records import SOURCES, label_of
from include.settings import Policy, Settings

PART = 4000  # photos that one shard of `describe` has
APART = 0.05  # how far the sources lie from each other in each feature, in standard deviations


def main() -> None:
    job = Job.mine()
    store, watch = LocalStore(Path(job.lake)), Stopwatch(job)
    write_table(store, layout.run_table(RUN, "deduplicated"), make_photos(store, job.synthetic))
    watch.lap("making up photos")
    steps.check_labels(store, RUN, Policy(), cache=Settings().embedding_cache)
    give({"photos": job.synthetic, "seconds": watch.lap("check_labels"), "peak_bytes": peak_bytes()})


def make_photos(store: LocalStore, count: int) -> pd.DataFrame:
    """Random features of ``count`` photos, in the lake part by part; returns what `deduplicate` says of the photos."""
    draw = np.random.default_rng(1)
    centres = draw.normal(scale=APART, size=(len(SOURCES), FEATURES))
    names = pd.Series([hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)])
    kinds = draw.integers(0, len(SOURCES), count)
    sources = pd.Series([SOURCES[kind] for kind in kinds])
    keys = pd.Series([layout.base(source, name) for source, name in zip(sources, names, strict=True)])
    for start in range(0, count, PART):
        part = slice(start, start + PART)
        features = draw.normal(size=(len(kinds[part]), FEATURES)) + centres[kinds[part]]
        write_embeddings(store, keys[part].tolist(), features.astype(np.float16))
    columns = {"key": keys, "source": sources, "sha256": names, "label": sources.map(label_of)}
    columns |= {"split": names.map(bucket).map(split_of), "label_origin": "source", "session": None, "status": None}
    return pd.DataFrame(columns).astype("string")


if __name__ == "__main__":
    main()
