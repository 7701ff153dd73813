"""The original recipe: grey photos, all in memory, a plain network. `python -m bench.original JOB`, by bench.training.

Grey 256-pixel photos as float32 in one array for each side; five convolutions with max-pooling; Adam at Keras' default
rate, batches of 64, no augmentation, threshold 0.5.
"""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers
from numpy.typing import NDArray
from PIL import Image

from bench.judging import judge
from bench.measuring import Curve, Job, Stopwatch, give, peak_bytes
from bench.photos import read_manifest
from include.settings import Settings

SIZE, BATCH, THRESHOLD = 256, 64, 0.5
FILTERS = (32, 64, 128, 128, 64)
Split = tuple[NDArray[np.float32], NDArray[np.float32]]  # photos (count, SIZE, SIZE, 1) from 0 to 1; 1 for a cat


def main() -> None:
    job = Job.mine()
    keras.utils.set_random_seed(Settings().seed)
    photos, watch = read_manifest(job.lake), Stopwatch(job)
    splits = {name: load(job.lake, part) for name, part in photos.groupby("split")}
    seconds = {"loading": watch.lap("loading")}
    curve = Curve(job)
    network = train(splits["train"], splits["val"], curve)
    seconds["training"] = curve.ends[-1]
    result = {"seconds": seconds, "epoch_ends": curve.ends, "threshold": THRESHOLD}
    test = photos[photos["split"] == "test"]
    result |= {"test": judge(test, score(network, splits["test"]), threshold=THRESHOLD), "peak_bytes": peak_bytes()}
    if job.elsewhere:
        others = read_manifest(job.elsewhere)
        result["elsewhere"] = judge(others, score(network, load(job.elsewhere, others)), threshold=THRESHOLD)
    give(result)


def load(lake: str, photos: pd.DataFrame) -> Split:
    array = np.empty((len(photos), SIZE, SIZE, 1), np.float32)
    for place, key in enumerate(photos["key"]):
        with Image.open(Path(lake) / key) as image:
            array[place, ..., 0] = image.convert("L").resize((SIZE, SIZE))
    array /= 255
    return array, (photos["label"] == "cat").to_numpy(np.float32)


def build() -> keras.Model:
    network = keras.Sequential([keras.Input((SIZE, SIZE, 1))])
    for width in FILTERS:
        network.add(layers.Conv2D(width, 3, activation="relu"))
        network.add(layers.MaxPooling2D())
    network.add(layers.Flatten())
    network.add(layers.Dense(1, activation="sigmoid"))
    return network


def train(learn: Split, watch: Split, curve: Curve) -> keras.Model:
    network = build()
    metric = keras.metrics.AUC(curve="PR", name="average_precision")  # `scratch` is measured by it as well
    network.compile("adam", loss="binary_crossentropy", metrics=[metric])
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: curve.add(logs["val_average_precision"]))
    network.fit(
        *learn, batch_size=BATCH, epochs=curve.job.epochs, validation_data=watch, callbacks=[note], verbose=0
    )  # fmt: skip
    return network


def score(network: keras.Model, split: Split) -> NDArray[np.float64]:
    """P(cat) of each photo."""
    return np.asarray(network.predict(split[0], verbose=0)[:, 0], np.float64)


if __name__ == "__main__":
    main()
