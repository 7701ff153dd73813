"""The original recipe: grey photos, all in memory, a plain network. `python -m bench.original JOB`, by bench.training.

Grey 256-pixel photos as float32 in one array for each split; five convolutions with max-pooling; Adam at Keras' default
rate, batches of 64, no augmentation, threshold 0.5.
"""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers
from numpy.typing import NDArray
from PIL import Image

from bench.measurement import EpochClock, Job, Stopwatch, peak_bytes, return_result
from bench.model_metrics import model_metrics
from bench.photos import read_manifest
from include.dataset.examples import is_positive
from include.settings import Settings

SIZE, BATCH, THRESHOLD = 256, 64, 0.5
FILTERS = (32, 64, 128, 128, 64)
Split = tuple[NDArray[np.float32], NDArray[np.float32]]  # photos (count, SIZE, SIZE, 1) from 0 to 1; 1 for a cat


def main() -> None:
    job = Job.from_argument()
    keras.utils.set_random_seed(Settings().seed)
    photos, watch = read_manifest(job.lake), Stopwatch(job)
    splits = {name: load(job.lake, members) for name, members in photos.groupby("split")}
    seconds = {"loading": watch.lap("loading")}
    clock = EpochClock(job)
    network = train(splits["train"], splits["val"], clock)
    seconds["training"] = clock.ends[-1]
    result = {"seconds": seconds, "epoch_ends": clock.ends, "threshold": THRESHOLD}
    test, probability = photos[photos["split"] == "test"], score(network, splits["test"])
    result |= {"test": model_metrics(test, probability, threshold=THRESHOLD), "peak_bytes": peak_bytes()}
    if job.elsewhere:
        others = read_manifest(job.elsewhere)
        probability = score(network, load(job.elsewhere, others))
        result["elsewhere"] = model_metrics(others, probability, threshold=THRESHOLD)
    return_result(result)


def load(lake: str, photos: pd.DataFrame) -> Split:
    array = np.empty((len(photos), SIZE, SIZE, 1), np.float32)
    for row, key in enumerate(photos["key"]):
        with Image.open(Path(lake) / key) as image:
            array[row, ..., 0] = np.asarray(image.convert("L").resize((SIZE, SIZE)))
    array /= 255
    return array, is_positive(photos).astype(np.float32)


def build() -> keras.Model:
    network = keras.Sequential([keras.Input((SIZE, SIZE, 1))])
    for width in FILTERS:
        network.add(layers.Conv2D(width, 3, activation="relu"))
        network.add(layers.MaxPooling2D())
    network.add(layers.Flatten())
    network.add(layers.Dense(1, activation="sigmoid"))
    return network


def train(train_split: Split, val: Split, clock: EpochClock) -> keras.Model:
    network = build()
    metric = keras.metrics.AUC(curve="PR", name="average_precision")  # the metric of `scratch`, too
    network.compile("adam", loss="binary_crossentropy", metrics=[metric])
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, logs: clock.end_epoch(logs["val_average_precision"])
    )
    options = {"batch_size": BATCH, "epochs": clock.job.epochs, "callbacks": [callback], "verbose": 0}
    network.fit(*train_split, validation_data=val, **options)
    return network


def score(network: keras.Model, split: Split) -> NDArray[np.float64]:
    """P(cat) of each photo."""
    return np.asarray(network.predict(split[0], verbose=0)[:, 0], np.float64)


if __name__ == "__main__":
    main()
